"""The price book against a small price file of litellm's format, and against litellm's own."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import ConfigError
from llmctl.core.profile import PriceRule
from llmctl.pricing.book import PriceBook, abilities

ENTRIES: dict[str, Any] = {
    "sample_spec": {
        "litellm_provider": "one of …",
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
    },
    "gpt-4o-mini": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
        "max_input_tokens": 128000,
        "supports_vision": True,
        "supports_audio_input": False,
    },
    "azure/gpt-4o-mini": {
        "litellm_provider": "azure",
        "mode": "chat",
        "input_cost_per_token": 1.65e-07,
        "output_cost_per_token": 6.6e-07,
    },
    "openai/priceless": {"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 8000},
    "openai/zero": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
    },
    "gemini-x": {
        "litellm_provider": "vertex_ai-language-models",
        "mode": "chat",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
    },
    "us.vendor.model-v1:0": {
        "litellm_provider": "bedrock_converse",
        "mode": "chat",
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 4e-06,
    },
    "embed-small": {
        "litellm_provider": "openai",
        "mode": "embedding",
        "input_cost_per_token": 2e-08,
        "output_cost_per_token": 0.0,
    },
    "fallback_generalizations": {
        "rules": [
            {"pattern": "^claude-[a-z]+-\\d+$", "model_info": {"litellm_provider": "anthropic"}},
            {"pattern": "claude", "model_info": {"supports_vision": True}},
        ]
    },
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "map.json"
    path.write_text(json.dumps(ENTRIES))
    return path


@pytest.fixture
def book(tmp_path: Path, source: Path) -> PriceBook:
    return PriceBook(tmp_path / "state", source=source)


def _input(book: PriceBook, model: str) -> Decimal | None:
    price = book.price(model)
    return None if price is None else price.base.input


@pytest.mark.parametrize(
    ("model", "nanos"),
    [
        ("openai/gpt-4o-mini", 150),
        ("openai/GPT-4o-mini", 150),
        ("openai/gpt-4o-mini-2024-07-18", 150),
        ("azure/gpt-4o-mini", 165),
        ("vertex_ai/gemini-x", 1000),
        ("vertex_ai/gemini-x-002", 1000),
        ("bedrock/us.vendor.model-v1:0", 3000),
        ("bedrock/converse/us.vendor.model-v1:0", 3000),
        ("bedrock/eu-west-1/us.vendor.model-v1:0", 3000),
        ("local/anything", 0),
        ("ollama/anything", 0),
    ],
)
def test_a_model_is_found_however_its_name_is_written(book: PriceBook, model: str, nanos: int) -> None:
    """A price missed for a date, a route or a case would refuse calls under a budget for nothing."""
    assert _input(book, model) == nanos


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-5-surprise",
        "openai/priceless",
        "openai/zero",
        "openai/gemini-x",
        "gemini/gemini-x",
        "hosted_vllm/gpt-4o-mini",
        "ollama/big:120b-cloud",
        "openai/sample_spec",
        "gpt-4o-mini",
        "",
    ],
)
def test_an_unknown_price_is_unknown(book: PriceBook, model: str) -> None:
    """Counting an unknown price as 0, or as another provider's, would break a budget unseen."""
    assert book.price(model) is None


def test_the_profile_declares_a_price_whole(tmp_path: Path, source: Path) -> None:
    """A declared price replaces the file's entry; half a declaration is no price at all."""
    rules = {
        "hosted_vllm/mine": PriceRule(input=0.1, output=0.3),
        "openai/gpt-4o-mini": PriceRule(input=1.0, output=2.0, cached=0.5),
        "azure/gpt-4o-mini": PriceRule(input=1.0),
        "openai/free": PriceRule(input=0, output=0),
    }
    book = PriceBook(tmp_path, rules, source)
    assert _input(book, "hosted_vllm/mine") == 100
    dated = book.price("openai/gpt-4o-mini-2024-07-18")
    assert dated is not None
    assert dated.base.cached == 500
    assert book.price("azure/gpt-4o-mini") is None
    assert _input(book, "openai/free") == 0


def test_a_declared_price_needs_no_price_file(tmp_path: Path) -> None:
    """Where everything is declared or local, a missing file is nobody's business."""
    book = PriceBook(tmp_path, {"x/y": PriceRule(input=1, output=1)}, tmp_path / "absent.json")
    assert _input(book, "x/y") == 1000
    assert _input(book, "local/m") == 0
    with pytest.raises(ConfigError, match=r"absent\.json"):
        book.price("openai/gpt-4o")


def test_entries_are_shown_as_they_are(book: PriceBook) -> None:
    """`models show` and the context checks read the raw entry."""
    info = book.info("openai/gpt-4o-mini")
    assert info is not None
    assert info["max_input_tokens"] == 128000
    assert abilities(info) == {"vision"}
    assert book.info("gemini/gemini-x") is None


def test_the_models_are_listed_by_the_names_llmctl_takes(book: PriceBook) -> None:
    """A listed name must be one that can be asked; specimens and embeddings are no chat models."""
    names = [name for name, _ in book.models()]
    assert sorted(names) == [
        "azure/gpt-4o-mini",
        "bedrock/us.vendor.model-v1:0",
        "openai/gpt-4o-mini",
        "openai/priceless",
        "openai/zero",
        "vertex_ai/gemini-x",
    ]
    assert [name for name, _ in book.models(["embedding"])] == ["openai/embed-small"]


@pytest.mark.parametrize(
    ("bare", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("gemini-x", "vertex_ai"),
        ("us.vendor.model-v1:0", "bedrock"),
        ("claude-nova-9", "anthropic"),
        ("ft:gpt-4o-2024-08-06:acme::1", "openai"),
        ("my-own", None),
        ("sample_spec", None),
    ],
)
def test_a_bare_name_finds_its_provider(book: PriceBook, bare: str, provider: str | None) -> None:
    """`-m gpt-4o-mini` must mean what it means to litellm, and a guess is worse than a question."""
    assert book.provider_of(bare) == provider


def test_near_names_help_after_a_slip(book: PriceBook) -> None:
    """An error that names the model meant saves a search."""
    assert book.near("openai/gpt-4o-mni")[0] == "openai/gpt-4o-mini"
    assert "azure/gpt-4o-mini" in book.near("gpt-4o-mni")
    assert book.near("openai/zzzzzz") == []


def test_the_index_is_private_and_follows_its_file(tmp_path: Path, source: Path) -> None:
    """A newer price file must count at once, and a shared machine must not show which models are used."""
    folder = tmp_path / "state"
    before = PriceBook(folder, source=source)
    assert _input(before, "openai/gpt-4o-mini") == 150
    assert stat.S_IMODE((folder / "prices.db").stat().st_mode) == 0o600
    changed = ENTRIES | {"gpt-4o-mini": ENTRIES["gpt-4o-mini"] | {"input_cost_per_token": 9e-07}}
    source.write_text(json.dumps(changed))
    after = PriceBook(folder, source=source)
    assert _input(after, "openai/gpt-4o-mini") == 900
    assert after.snapshot != before.snapshot
    assert [path.name for path in folder.iterdir()] == ["prices.db"]


def test_the_index_is_read_not_the_file(tmp_path: Path, source: Path) -> None:
    """Every start would pay for parsing three megabytes if the index were not used."""
    folder = tmp_path / "state"
    assert _input(PriceBook(folder, source=source), "openai/gpt-4o-mini") == 150
    with sqlite3.connect(folder / "prices.db") as db:
        db.execute("UPDATE entries SET body = replace(body, '1.5e-7', '7e-9')")
    assert _input(PriceBook(folder, source=source), "openai/gpt-4o-mini") == 7


@pytest.mark.parametrize("damage", ["empty", "noise", "cut", "rows"])
def test_a_broken_index_is_made_anew(tmp_path: Path, source: Path, damage: str) -> None:
    """A full disk or a crash may leave anything; a price must come out all the same."""
    folder = tmp_path / "state"
    PriceBook(folder, source=source).price("openai/gpt-4o-mini")
    path = folder / "prices.db"
    whole = path.read_bytes()
    if damage == "rows":
        with sqlite3.connect(path) as db:
            db.execute("UPDATE entries SET body = '{'")
    else:
        path.write_bytes({"empty": b"", "noise": os.urandom(5000), "cut": whole[:5000]}[damage])
    book = PriceBook(folder, source=source)
    assert _input(book, "openai/gpt-4o-mini") == 150
    assert _input(PriceBook(folder, source=source), "azure/gpt-4o-mini") == 165


@pytest.mark.parametrize("kind", ["file", "absent parent"])
def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, source: Path, kind: str) -> None:
    """Read-only homes are common in CI; prices come out of the file then."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    folder = blocked if kind == "file" else blocked / "below"
    book = PriceBook(folder, source=source)
    assert _input(book, "openai/gpt-4o-mini") == 150
    assert book.near("openai/gpt-4o-min") == ["openai/gpt-4o-mini", "azure/gpt-4o-mini"]
    assert book.provider_of("GPT-4o-mini") == "openai"


def test_a_fetched_file_goes_before_the_shipped_one(tmp_path: Path) -> None:
    """That is what `models update` is for."""
    (tmp_path / "prices.json").write_text(json.dumps(ENTRIES))
    assert _input(PriceBook(tmp_path), "azure/gpt-4o-mini") == 165


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"a": 1}'])
def test_a_broken_fetched_file_is_said_and_passed_over(tmp_path: Path, body: str) -> None:
    """A half-written download must not stop the work, nor be passed over in silence."""
    (tmp_path / "prices.json").write_text(body)
    book = PriceBook(tmp_path)
    assert book.price("openai/gpt-4o-mini") is not None
    assert len(book.warnings) == 1
    assert "prices.json" in book.warnings[0]


def test_ten_processes_may_build_it_at_once(tmp_path: Path, source: Path) -> None:
    """A CI matrix starts everywhere at the same moment with an empty state folder."""
    script = (
        "import sys; from pathlib import Path; from llmctl.pricing.book import PriceBook\n"
        "for _ in range(20):\n"
        "    book = PriceBook(Path(sys.argv[1]), source=Path(sys.argv[2]))\n"
        "    assert book.price('openai/gpt-4o-mini').base.input == 150\n"
        "    (book.folder / 'prices.db').unlink(missing_ok=True)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "state"), str(source)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(10)]
    failures = [error for process in started if (error := process.communicate()[1])]
    assert failures == []
    assert [path for path in (tmp_path / "state").iterdir() if path.name != "prices.db"] == []


def test_litellm_is_not_imported(tmp_path: Path) -> None:
    """Importing it costs seconds and may go out to the network."""
    script = (
        "import sys; from pathlib import Path; from llmctl.pricing.book import PriceBook\n"
        "price = PriceBook(Path(sys.argv[1])).price('openai/gpt-4o-mini')\n"
        "print(price.base.input > 0, 'litellm' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_every_listed_model_of_litellm_finds_its_own_entry(tmp_path: Path) -> None:
    """A name that leads to another model's entry would be billed at the other's price."""
    book = PriceBook(tmp_path)
    listed = dict(book.models())
    assert len(listed) > 1000
    assert [name for name, entry in listed.items() if book.info(name) != entry] == []
    assert sum(book.price(name) is None for name in listed) < len(listed) / 5


@pytest.mark.slow
def test_bare_names_resolve_as_litellm_resolves_them(tmp_path: Path) -> None:
    """The same profile must reach the same provider with llmctl and with litellm."""
    script = (
        "import json, sys, litellm\n"
        "litellm.suppress_debug_info = True\n"
        "def ask(name):\n"
        "    try: return litellm.get_llm_provider(name)[1]\n"
        "    except Exception: return None\n"
        "print(json.dumps({name: ask(name) for name in json.load(sys.stdin)}))\n"
    )
    book = PriceBook(tmp_path)
    chat = {name for name, _ in book.models()}
    keys = [name for name in json.loads(book.source.read_text()) if "/" not in name]
    bare = [name for name in keys if f"{book.provider_of(name)}/{name}" in chat]
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(bare),
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert len(theirs) > 300
    wrong = {name: (own, book.provider_of(name)) for name, own in theirs.items() if own}
    assert {name: pair for name, pair in wrong.items() if pair[0] != pair[1]} == {}
