"""One row never ends another, not even by a fault of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl import BatchResult, Client, pipeline
from llmctl.batch.runner import weight
from llmctl.core.errors import AuthError, BreakerOpen, BudgetError, Interrupted, LlmctlError, StorageError
from llmctl.core.model import Request, Response, Send, replace
from llmctl.services import Services

from ..server.client import TestServer
from .harness import requests

BUILD = pipeline.build


@pytest.fixture
def client(environ: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client whose pipeline has a bug that some rows meet."""

    def build(services: Services) -> Send:
        send = BUILD(services)

        async def faulty(request: Request) -> Response:
            if "bug" in str(request.messages):
                raise KeyError("ours")
            response = await send(request)
            return replace(response, parsed={1, 2}) if "odd" in str(request.messages) else response

        return faulty

    monkeypatch.setattr(pipeline, "build", build)
    with Client("dev", home=home, environ=environ) as client:
        yield client


def test_a_bug_costs_the_rows_that_meet_it(client: Client, server: TestServer) -> None:
    """The others are answered, doubles of the faulty row fail with it, and it is told."""
    found = list(client.batch(["a", "bug", "bug", "b", *(f"row {n}" for n in range(50))]))
    assert [result.status for result in found[:4]] == ["ok", "failed", "failed", "ok"]
    assert all(result.ok for result in found[4:])
    assert found[1].error is not None
    assert "a bug in llmctl: KeyError" in found[1].error["message"]
    assert any("KeyError" in warning for warning in client.warnings)
    assert requests(server) == 52


def test_an_answer_that_cannot_be_written(client: Client, server: TestServer) -> None:
    """Once more: its row fails, with what it cost, and ends no batch on every run."""
    found = list(client.batch(["a", "odd", "b"]))
    assert [result.status for result in found] == ["ok", "failed", "ok"]
    assert found[1].error is not None
    assert "a bug in llmctl: TypeError" in found[1].error["message"]
    assert (found[1].attempts, found[1].cost) == (1, found[0].cost)
    assert any("TypeError" in warning for warning in client.warnings)


def test_a_bug_in_what_keeps_the_ledger(
    client: Client, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops the sending, as a full disk does: what cannot be recorded must not be paid for."""
    server.script(latency=0.1)
    flush, bugs = Services.flush, [KeyError("ours")]

    def faulty(services: Services) -> None:
        if bugs and requests(server) > 8:
            raise bugs.pop()
        flush(services)

    monkeypatch.setattr(Services, "flush", faulty)
    found: list[BatchResult] = []
    with pytest.raises(LlmctlError, match="a bug in llmctl: KeyError"):
        found.extend(client.batch((f"row {n}" for n in range(200)), concurrency=4))
    assert requests(server) < 50
    assert not bugs


def test_a_file_that_changes_while_it_is_read(client: Client, tmp_path: Path, server: TestServer) -> None:
    """What broke the reading is told when what was in flight has been answered."""
    server.script(latency=0.3)
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"prompt": "{n} {"x" * 1000}"}}\n' for n in range(2000)))
    found: list[BatchResult] = []
    with pytest.raises(LlmctlError, match="not UTF-8"):
        for result in client.batch(path, concurrency=20):
            if not found:
                path.write_bytes(b"\xff\n" * 1_500_000)
            found.append(result)
    answered = [result for result in found if result.ok]
    assert len(answered) == requests(server)
    assert all(entry["done"] for entry in server.log())


def test_the_weight_of_reasons() -> None:
    """The order in which exit codes stand: a signal, the disk, then 4, 6, 5."""
    reasons = [Interrupted(15), StorageError("x"), AuthError("x"), BudgetError("x"), BreakerOpen("x")]
    backwards = reasons[::-1]
    assert sorted(backwards, key=weight) == reasons
