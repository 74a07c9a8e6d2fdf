"""Finding stored prompts: nearest first, within a scope, past the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmctl.core.model import Request, Response, Target
from llmctl.core.profile import SemanticRule
from llmctl.meaning import near
from llmctl.meaning.near import Near
from llmctl.stages.semantic import asked, semantic
from llmctl.state.cache import AnswerCache
from llmctl.state.database import connect
from llmctl.state.neighbours import FILE, MIGRATIONS, Neighbours, clear


class Letters:
    """An encoder without a model: how often each letter stands in a text."""

    def __init__(self) -> None:
        self.texts = 0

    def vectors(self, texts: Sequence[str]) -> Any:
        self.texts += len(texts)
        counts = np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


class Shop:
    """A `Near` over a file, as each process has its own."""

    def __init__(self, folder: Path, ttl: float | None = 100, seal: Any = None) -> None:
        self.time = 1_000.0
        self.warnings: list[str] = []
        self.encoder = Letters()
        self.folder = folder
        make = None if seal is None else lambda: seal
        self.index = Neighbours(folder, lambda: self.time, ttl, self.warnings.append, make)
        self.near = Near(self.encoder, self.index, 0.95, self.warnings.append)

    def add(self, text: str, key: str, scope: str = "s") -> None:
        self.near.add(self.near.question(scope, text), key)

    def find(self, text: str, scope: str = "s") -> list[str]:
        return [key for key, _ in self.near.find(self.near.question(scope, text))]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "cache")


def test_the_nearest_within_a_scope(shop: Shop) -> None:
    """Another model, system text or parameter is another scope."""
    shop.add("What is the capital of France?", "a")
    shop.add("What is the capital of Germany?", "b")
    shop.add("What is the capital of France?", "c", scope="t")
    assert shop.find("what's the capital of france") == ["a"]
    assert shop.find("the capital of France", scope="t") == ["c"]
    assert shop.find("the capital of France", scope="u") == []
    near_miss = list(shop.near.compare(shop.near.question("s", "the capital of Greece")))
    assert {why for _, _, why in near_miss} == {"names"}


def test_another_process_finds_it_until_it_expires(shop: Shop) -> None:
    """An index of one process alone would be empty at every start."""
    shop.add("Explain recursion", "a")
    other = Shop(shop.folder)
    other.time += 99
    assert other.find("please explain recursion") == ["a"]
    late = Shop(shop.folder)
    late.time += 101
    assert late.find("please explain recursion") == []


def test_what_has_no_answer_any_more_is_forgotten(shop: Shop) -> None:
    """The cache evicts by itself; its neighbours must not pile up."""
    shop.add("Explain recursion", "a")
    shop.near.forget(shop.near.question("s", "x"), "a")
    assert shop.find("explain recursion") == Shop(shop.folder).find("explain recursion") == []


def test_many_prompts(shop: Shop) -> None:
    """The matrix grows with them, and each is found again by its number."""
    for n in range(100):
        shop.add(f"What is the colour of item {n}?", str(n))
    assert shop.find("tell me the color of item 77") == ["77"]
    assert Shop(shop.folder).find("tell me the color of item 5") == ["5"]


def test_an_empty_scope_costs_no_encoding(shop: Shop) -> None:
    """The first question of all need not wait for a model to load before it is sent."""
    assert not shop.near.knows(shop.near.question("s", "x"))
    assert shop.find("x") == []
    assert shop.encoder.texts == 0


def test_no_prompt_can_be_read_in_the_file(shop: Shop) -> None:
    """Nor its words: they are hashed under a salt of this file."""
    shop.add("Is Ana from Oslo, at 4711?", "a")
    shop.index.close()
    data = b"".join(path.read_bytes() for path in shop.folder.iterdir())
    assert not any(word in data.lower() for word in (b"ana ", b'"ana"', b"oslo", b"4711"))
    assert (shop.folder / FILE).stat().st_mode & 0o777 == 0o600


def test_sealed_where_the_cache_is(tmp_path: Path) -> None:
    """Vectors tell much of a text: with `cache.encrypt` they are closed too."""
    pytest.importorskip("cryptography", reason="needs the extra crypto")
    from llmctl.state.sealed import Seal

    shop = Shop(tmp_path, seal=Seal("k" * 40, "env:K"))
    shop.add("Explain recursion", "f" * 64)
    assert Shop(tmp_path, seal=Seal("k" * 40, "env:K")).find("please explain recursion") == ["f" * 64]
    assert Shop(tmp_path, seal=Seal("l" * 40, "env:K")).find("please explain recursion") == []
    shop.index.close()
    assert b"f" * 64 not in (tmp_path / FILE).read_bytes()


def test_a_broken_file_is_one_warning(tmp_path: Path) -> None:
    """The answer is paid for: it must not be lost for an index."""
    (tmp_path / FILE).write_bytes(b"garbage" * 1000)
    shop = Shop(tmp_path)
    shop.add("a", "a")
    shop.add("b", "b")
    assert Shop(tmp_path).find("a") == []
    assert len(shop.warnings) == 1
    clear(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_what_an_older_version_compared_is_forgotten(tmp_path: Path) -> None:
    """Its marks lack what is looked at now, and would serve other questions' answers."""
    path = tmp_path / FILE
    connect(path, MIGRATIONS[:1]).execute(
        "INSERT INTO prompts VALUES ('a', 's', 1, NULL, '[\"a\", [], \"\"]')"
    )
    assert Shop(tmp_path).find("a") == []
    assert connect(path, MIGRATIONS).execute("SELECT count(*) FROM prompts").fetchone() == (0,)


def test_a_long_run_holds_the_newest(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows in flat memory: what is bound when it is read is bound when it is added, too."""
    monkeypatch.setattr(near, "MOST", 20)
    for n in range(50):
        shop.add(f"What is the colour of item {n}?", str(n))
    scope = shop.near._scope("s")
    assert (len(scope.keys), len(scope.marks), len(scope.vectors)) == (20, 20, 20)
    assert sorted(map(int, scope.keys)) == list(range(30, 50))
    found = [shop.find(f"What is the colour of item {n}?") for n in (49, 30, 29)]
    assert found == [["49"], ["30"], []]


@pytest.mark.parametrize("bound", ["HELD", "SCOPES"])
def test_scopes_that_are_not_used_are_forgotten(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """A system text of its own in each row is a scope in each; the index still knows them all."""
    monkeypatch.setattr(near, bound, 4)
    for n in range(30):
        shop.add("Explain recursion", str(n), scope=f"s{n}")
    assert (len(shop.near._scopes), shop.near._held) == (4, 4)
    assert shop.find("explain recursion", scope="s3") == ["3"]
    assert (len(shop.near._scopes), shop.near._held) == (4, 4)


class NoRoom:
    def vectors(self, texts: Sequence[str]) -> Any:
        raise MemoryError("no room")


@pytest.mark.parametrize("known", [False, True])
def test_an_encoder_that_fails_costs_no_answer(shop: Shop, known: bool) -> None:
    """It is paid for, and would be lost in every row: one warning, then nothing is near."""
    target = Target("a", "openai/m", "openai", "http://127.0.0.1:1/v1")
    request = Request(target, ({"role": "user", "content": "hi"},))
    if known:
        shop.add("hello", "a", scope=asked(request)[0])  # type: ignore[index]  # it has a text
    shop.near.encoder = NoRoom()
    store = AnswerCache(shop.folder, None, 2**20, shop.warnings.append)

    async def paid(request: Request) -> Response:
        return Response("dear", "m", cost=5)

    send = semantic(paid, store, shop.near, SemanticRule(enabled=True), lambda response: True)

    async def both() -> list[str]:
        return [(await send(request)).text for _ in range(2)]

    assert asyncio.run(both()) == ["dear", "dear"]
    (warning,) = shop.warnings
    assert "MemoryError: no room" in warning
