"""`llmctl models`, `-m auto` and the cascade, as users type them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ..conftest import Run
from ..server.client import TestServer, refused_url

TEAM = """
extends: base
models:
  cheap: {model: openai/gpt-4o-mini, params: {max_tokens: 500}, fits: simple}
  able: {model: openai/gpt-4.1, params: {max_tokens: 500}, fits: complex}
  last: {model: anthropic/claude-sonnet-4-5, params: {max_tokens: 500}}
candidates: [cheap, able]
"""
HARD = "Design a payment system and prove that its algorithm never loses money. Explain every trade-off."
ENTRY = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-06,
    "output_cost_per_token": 2e-06,
    "max_input_tokens": 1000,
}
EASY = "Classify the sentiment: I love it"


@pytest.fixture
def team(work: Path) -> Path:
    """A profile of a cheap and an able model."""
    folder = work / "profiles"
    folder.mkdir()
    path = folder / "team.yaml"
    path.write_text(TEAM)
    return path


def listed(llmctl: Run, *args: str) -> list[dict[str, Any]]:
    done = llmctl("models", "list", *args, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["models"]
    return found


def test_a_list_is_filtered_and_sorted(llmctl: Run) -> None:
    """Every filter narrows, and what is unknown passes none."""
    found = listed(
        llmctl,
        "gpt",
        "--provider",
        "openai",
        "--ability",
        "vision,tools",
        "--context",
        "500k",
        "--sort",
        "price",
    )
    assert {"openai/gpt-4.1", "openai/gpt-4.1-mini"} <= {model["model"] for model in found}
    assert all(model["context"] >= 500_000 and "tools" in model["abilities"] for model in found)
    prices = [model["input_usd_per_million"] + model["output_usd_per_million"] for model in found]
    assert prices == sorted(prices)
    cheap = listed(llmctl, "--max-input-price", "0.2", "--provider", "openai")
    assert cheap
    assert all(model["input_usd_per_million"] <= 0.2 for model in cheap)
    sizes = [model["context"] or 0 for model in listed(llmctl, "claude", "--sort", "context")]
    assert sizes == sorted(sizes, reverse=True)


def test_the_profiles_own_models_and_prices_are_listed(llmctl: Run, team: Path) -> None:
    """A model of one's own has the price that the profile declares."""
    own = TEAM.replace("anthropic/claude-sonnet-4-5", "openai_like/ours")
    team.write_text(own + "prices: {openai_like/ours: {input: 0.5, output: 2}}\n")
    (found,) = listed(llmctl, "ours", "-p", "team")
    assert (found["model"], found["output_usd_per_million"]) == ("openai_like/ours", 2.0)
    told = llmctl("models", "show", "last", "-p", "team").stdout
    assert "OPENAI_LIKE_API_BASE" in told
    assert "the profile" in told


def test_one_model_is_shown_with_all_its_prices(llmctl: Run) -> None:
    """Cached input and long requests have prices of their own."""
    told = llmctl("models", "show", "gemini/gemini-2.5-pro").stdout
    assert "over 200,000 tokens" in told
    assert "cached input" in told
    found = json.loads(llmctl("models", "show", "gpt-4o-mini", "--json").stdout)
    assert (found["model"], found["keys"]) == ("openai/gpt-4o-mini", ["env:OPENAI_API_KEY"])


@pytest.mark.parametrize(
    ("args", "name"),
    [
        ((EASY,), "cheap"),
        ((HARD,), "able"),
        (("--complexity", "simple", HARD), "cheap"),
        (("--complexity", "complex"), "able"),
        ((HARD, "--budget", "0.001"), "cheap"),
    ],
)
def test_pick_names_the_cheapest_that_fits(llmctl: Run, team: Path, args: tuple[str, ...], name: str) -> None:
    """One word on stdout, ready for `-m`; a guess about the prompt gives way to the money."""
    done = llmctl("models", "pick", "-p", "team", *args)
    assert (done.returncode, done.stdout) == (0, f"{name}\n")
    assert "chosen" in done.stderr


def test_pick_says_why_nobody_fits(llmctl: Run, team: Path) -> None:
    """A stated complexity is not bent: exit 6 and every reason."""
    done = llmctl("models", "pick", "-p", "team", "--complexity", "complex", "--budget", "0.0001")
    assert (done.returncode, done.stdout) == (6, "")
    assert "able: may cost" in done.stderr
    found = json.loads(
        llmctl(
            "models", "pick", "-p", "team", "--complexity", "complex", "--budget", "0.0001", "--json"
        ).stdout
    )
    assert (found["name"], found["error"]["exit_code"], len(found["candidates"])) == (None, 6, 2)


def test_auto_chooses_for_each_prompt(llmctl: Run, team: Path) -> None:
    """The answer and the ledger name the model that was chosen."""
    easy = json.loads(llmctl("run", "-p", "team", "-m", "auto", EASY, "--json").stdout)
    hard = json.loads(llmctl("run", "-p", "team", "-m", "auto", HARD, "--json").stdout)
    assert (easy["model"], hard["model"]) == ("openai/gpt-4o-mini", "openai/gpt-4.1")
    groups = json.loads(llmctl("usage", "--by", "model", "--json").stdout)["groups"]
    assert {group["key"]["model"]: group["calls"] for group in groups} == {
        "openai/gpt-4o-mini": 1,
        "openai/gpt-4.1": 1,
    }


def test_auto_chooses_for_each_row(llmctl: Run, team: Path, work: Path) -> None:
    """In a batch, its estimate, and for a row that says so itself."""
    lines = [{"prompt": EASY}, {"prompt": HARD}, {"prompt": EASY, "model": "last"}]
    (work / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    models = json.loads(llmctl("estimate", "-p", "team", "-m", "auto", "a.jsonl", "--json").stdout)["models"]
    assert sorted(model["model"] for model in models) == [
        "anthropic/claude-sonnet-4-5", "openai/gpt-4.1", "openai/gpt-4o-mini",
    ]  # fmt: skip
    assert llmctl("batch", "-p", "team", "-m", "auto", "a.jsonl", "-o", "out.jsonl").returncode == 0
    found = [json.loads(line)["model"] for line in (work / "out.jsonl").read_text().splitlines()]
    assert found == ["openai/gpt-4o-mini", "openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]


def test_auto_keeps_to_the_money_left(llmctl: Run, team: Path) -> None:
    """A budget that the able model does not fit into leaves the cheap one."""
    team.write_text(TEAM + "budgets: [{limit: 0.001, per: day}]\n")
    found = json.loads(llmctl("run", "-p", "team", "-m", "auto", HARD, "--json").stdout)
    assert found["model"] == "openai/gpt-4o-mini"


def test_a_cascade_climbs_and_the_ledger_shows_both(llmctl: Run, team: Path, server: TestServer) -> None:
    """An empty answer of the first costs what it costs; the second is the answer."""
    team.write_text(TEAM + "cascade: [cheap, able]\nretry: 1\n")
    server.script(by_model={"gpt-4o-mini": {"default": "answer:cut short+finish:length"}})
    done = llmctl("run", "-p", "team", "hello there", "--json")
    found = json.loads(done.stdout)
    assert (found["text"], found["model"], found["attempts"]) == ("echo: hello there", "openai/gpt-4.1", 2)
    groups = json.loads(llmctl("usage", "--by", "model", "--json").stdout)["groups"]
    costs = {group["key"]["model"]: group["cost_usd"] for group in groups}
    assert set(costs) == {"openai/gpt-4o-mini", "openai/gpt-4.1"}
    assert found["cost_usd"] == pytest.approx(sum(costs.values()))
    named = json.loads(llmctl("run", "-p", "team", "-m", "cheap", "hello there", "--json").stdout)
    assert (named["model"], named["finish_reason"]) == ("openai/gpt-4o-mini", "length")


def test_a_cascade_climbs_where_the_schema_fails(llmctl: Run, team: Path, server: TestServer) -> None:
    """Asked again by the schema's own rule first, then the next model."""
    team.write_text(TEAM + "cascade: [cheap, able]\nschema_retries: 1\n")
    server.script(by_model={"gpt-4o-mini": {"default": "answer:I would rather not"}})
    done = llmctl("run", "-p", "team", "--schema", "colour", "Name one", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (found["model"], found["attempts"], set(found["parsed"])) == ("openai/gpt-4.1", 3, {"colour"})


def test_a_stream_shows_only_the_last_step(llmctl: Run, team: Path, server: TestServer) -> None:
    """What was cut is not on the screen when the better answer comes."""
    team.write_text(TEAM + "cascade: [cheap, able]\n")
    server.script(by_model={"gpt-4o-mini": {"default": "answer:cut short+finish:length"}})
    assert llmctl("run", "-p", "team", "hello there").stdout == "echo: hello there\n"


def test_update_takes_a_file_and_says_what_changed(llmctl: Run, work: Path, home: Path) -> None:
    """A newer file counts from the next call on; one that is none changes nothing."""
    shipped = json.loads(llmctl("models", "show", "gpt-4o-mini", "--json").stdout)
    (work / "new.json").write_text(json.dumps({"gpt-4o-mini": ENTRY, "brand-new": ENTRY}))
    found = json.loads(llmctl("models", "update", "--from", "new.json", "--json").stdout)
    assert found["added"] == ["openai/brand-new"]
    assert found["dearer"] == ["openai/gpt-4o-mini"]
    assert found["models"] == 2
    after = json.loads(llmctl("models", "show", "gpt-4o-mini", "--json").stdout)
    assert (after["input_usd_per_million"], shipped["input_usd_per_million"]) == (1.0, 0.15)
    for wrong in ("no json", "[]", "{}", '{"a": {"litellm_provider": "openai", "mode": "chat"}}'):
        (work / "bad.json").write_text(wrong)
        done = llmctl("models", "update", "--from", "bad.json")
        assert done.returncode == 3, wrong
        assert "bad.json" in done.stderr
    assert json.loads(llmctl("models", "show", "gpt-4o-mini", "--json").stdout) == after
    assert [path.name for path in (home / "prices").iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in `tmp_path/web`."""
    (tmp_path / "web").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_update_from_an_address(llmctl: Run, tmp_path: Path, web: str) -> None:
    """What an address gives is looked at like a file; what it does not give is exit 5."""
    (tmp_path / "web" / "new.json").write_text(json.dumps({"brand-new": ENTRY}))
    (tmp_path / "web" / "page.html").write_text("<html>")
    found = json.loads(llmctl("models", "update", "--from", f"{web}/new.json", "--json").stdout)
    assert (found["models"], found["added"]) == (1, ["openai/brand-new"])
    assert llmctl("models", "update", "--from", f"{web}/page.html").returncode == 3
    assert llmctl("models", "update", "--from", f"{web}/nothing.json").returncode == 5
    assert llmctl("models", "update", "--from", f"{refused_url()}/new.json").returncode == 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("list", "--ability", "flying"), "vision"),
        (("list", "--sort", "beauty"), "price"),
        (("list", "--context", "lots"), "128k"),
        (("list", "--max-input-price", "nan"), "--max-input-price"),
        (("show", "gpt-4o-mni"), "gpt-4o-mini"),
        (("pick",), "prompt"),
        (("pick", "x", "--complexity", "odd"), "simple"),
        (("pick", "x", "--budget", "-1"), "--budget"),
    ],
)
def test_bad_values_are_told_with_the_remedy(llmctl: Run, args: tuple[str, ...], said: str) -> None:
    """Exit 2 and one line that names what would have done."""
    done = llmctl("models", *args)
    assert done.returncode == 2
    assert said in done.stderr
