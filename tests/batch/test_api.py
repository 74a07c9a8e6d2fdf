"""Batches from Python: the command's engine behind an iterator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmctl import BatchResult, Client, LlmctlError
from llmctl.core.errors import AuthError, ConfigError, UsageError
from llmctl.usage.report import Query, report

from ..server.client import TestServer
from .harness import asked, questions, requests, write


@pytest.fixture
def client(
    environ: dict[str, str], home: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    monkeypatch.chdir(work)
    with Client("dev", home=home, environ=environ) as client:
        yield client


def texts(results: list[BatchResult]) -> list[str | None]:
    return [result.text for result in results]


def test_prompts_in_results_out(client: Client, server: TestServer, home: Path) -> None:
    """The shortest program: a list of prompts, their answers in order, each with its cost."""
    found = list(client.batch(["one", "two", {"prompt": "three", "id": "c"}, "one"]))
    assert texts(found) == ["echo: one", "echo: two", "echo: three", "echo: one"]
    assert [result.id for result in found] == ["0", "1", "c", "3"]
    assert all(result.ok for result in found)
    assert [bool(result.cost) for result in found] == [True, True, True, False]
    assert found[3].cached == "shared"
    assert found[0].usage.output_tokens > 0
    assert requests(server) == 3
    assert report(home / "ledger.db", Query()).total.calls == 3


def test_a_generator_of_any_length(client: Client) -> None:
    """Rows are taken from any iterable; nothing needs their number."""
    assert len(list(client.batch(f"number {n}" for n in range(300)))) == 300


def test_rows_that_come_by_and_by(environ: dict[str, str], home: Path) -> None:
    """A program's own query of a database yields them so; what goes wrong there is the program's."""

    async def rows(fails: bool) -> AsyncIterator[str]:
        for n in range(3):
            await asyncio.sleep(0)
            yield f"number {n}"
        if fails:
            raise LookupError("the database went away")

    async def main(fails: bool) -> list[BatchResult]:
        async with Client("dev", home=home, environ=environ) as client:
            return [each async for each in client.abatch(rows(fails))]

    assert texts(asyncio.run(main(False))) == [f"echo: number {n}" for n in range(3)]
    with pytest.raises(LookupError):
        asyncio.run(main(True))


def test_a_file(client: Client, work: Path) -> None:
    """A path is read as the command reads it."""
    write(work / "in.jsonl", questions(3))
    for given in ("in.jsonl", work / "in.jsonl"):
        assert texts(list(client.batch(given))) == [f"echo: question {n}" for n in range(3)]
    with pytest.raises(ConfigError, match="cannot be read"):
        list(client.batch("nowhere.jsonl"))


def test_in_an_event_loop(environ: dict[str, str], home: Path, server: TestServer) -> None:
    """abatch lives in the caller's loop, beside the caller's other tasks."""
    server.script(match=[{"contains": "slow", "default": "delay:0.5"}])

    async def program() -> tuple[list[int], list[int]]:
        async with Client("dev", home=home, environ=environ) as client:
            rows = ["slow", "b", "c"]
            done = [each.row async for each in client.abatch(rows, order="done", cache="off")]
            return done, [each.row async for each in client.abatch(rows, cache="off")]

    done, ordered = asyncio.run(program())
    assert done[-1] == 0
    assert ordered == [0, 1, 2]


def test_options_are_those_of_run(client: Client, server: TestServer) -> None:
    """System text, model and parameters hold for all rows; a row's own win."""
    rows: list[dict[str, Any]] = [{"prompt": "a"}, {"prompt": "b", "system": "own", "params": {"seed": 2}}]
    list(client.batch(rows, system="shared", params={"seed": 1}, concurrency=1))
    bodies = [entry["body"] for entry in server.log()]
    assert [body["messages"][0]["content"] for body in bodies] == ["shared", "own"]
    assert [body["seed"] for body in bodies] == [1, 2]


def test_failed_rows_are_results(client: Client, server: TestServer) -> None:
    """One row never ends another, nor the loop over them."""
    server.script(match=[{"contains": "bad", "default": "status:400"}])
    found = list(client.batch(["good", "bad", {"promt": "x"}]))
    assert [result.status for result in found] == ["ok", "failed", "failed"]
    assert found[1].error is not None
    assert found[1].error["exit_code"] == 7


def test_what_stops_a_batch_is_raised(client: Client, server: TestServer) -> None:
    """All results first, those not sent as pending; then the reason."""
    server.script(queue=[None], default="key_refused")
    found = []
    with pytest.raises(AuthError):
        for result in client.batch(["a", "b", "c"], concurrency=1):
            found.append(result.status)
    assert found == ["ok", "pending", "pending"]


def test_a_journal_makes_it_resumable(client: Client, server: TestServer, work: Path) -> None:
    """With a journal the same call sends only what is missing or has changed."""
    prompts = [f"question {n}" for n in range(6)]
    journal = work / "mine.journal"
    server.script(queue=[None] * 3, default="key_refused")
    with pytest.raises(LlmctlError):
        list(client.batch(prompts, journal=journal, concurrency=1, cache="off"))
    server.script()
    prompts[0] = "another"
    found = list(client.batch(prompts, journal=journal, concurrency=1, cache="off"))
    assert texts(found) == [f"echo: {prompt}" for prompt in prompts]
    assert asked(server)[4:] == ["another", "question 3", "question 4", "question 5"]


def test_leaving_early_sends_nothing_more(client: Client, server: TestServer, home: Path) -> None:
    """`break` is Ctrl-C: what is in flight is finished and recorded, the rest never sent."""
    server.script(latency=0.1)
    for result in client.batch((f"question {n}" for n in range(500)), concurrency=3):
        if result.row == 2:
            break
    sent = requests(server)
    assert sent < 20
    time.sleep(0.3)
    assert requests(server) == sent
    assert all(entry["done"] for entry in server.log())
    assert report(home / "ledger.db", Query()).total.calls == sent


def test_a_slow_reader_holds_the_sending_back(
    client: Client, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that nobody takes do not pile up, and nothing is paid for far ahead."""
    monkeypatch.setattr("llmctl.batch.api.AHEAD", 10)
    results = client.batch((f"question {n}" for n in range(200)), concurrency=4)
    next(results)
    time.sleep(1)
    assert requests(server) < 40
    assert len(list(results)) == 199


def test_leaving_while_rows_are_held_back(
    client: Client, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that waited for their reader are not sent, and paid for, as soon as he has gone."""
    monkeypatch.setattr("llmctl.batch.api.AHEAD", 10)
    sent = 0
    for _ in client.batch((f"question {n}" for n in range(200)), concurrency=20):
        time.sleep(0.5)
        sent = requests(server)
        break
    assert requests(server) == sent


def test_what_stops_a_batch_holds_for_rows_held_back(
    client: Client, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key refused while the reader was slow: reading on sends nothing more, and comes to its end."""
    monkeypatch.setattr("llmctl.batch.api.AHEAD", 10)
    server.script(match=[{"contains": "refused", "default": "delay:0.5+status:401"}])
    prompts = ["refused", *(f"question {n}" for n in range(200))]
    results = client.batch(prompts, concurrency=8, order="done")
    found = [next(results)]
    time.sleep(1)
    sent = requests(server)
    with pytest.raises(AuthError):
        found.extend(results)
    assert requests(server) == sent
    assert (len(found), sum(each.ok for each in found)) == (201, sent - 1)


def test_a_slow_row_holds_the_sending_back_at_last(
    client: Client, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that wait behind it come out at once when it ends; failed ones count, and must not shut it out."""
    monkeypatch.setattr("llmctl.batch.api.AHEAD", 10)
    monkeypatch.setattr("llmctl.batch.api.BEHIND", 60)
    server.script(match=[{"contains": "slow", "default": "delay:1"}])
    bad = [{"promt": "x"}] * 50
    rows: list[str | dict[str, str]] = ["slow", *bad, *(f"question {n}" for n in range(200)), *bad, "slow"]
    results = client.batch(rows, concurrency=4)
    found = [next(results)]
    assert requests(server) < 20
    found.extend(results)
    assert [each.row for each in found] == list(range(302))
    assert sum(each.ok for each in found) == 202


def test_an_odd_row_ends_no_other(client: Client, server: TestServer) -> None:
    """As in a file: what cannot be asked fails alone, and is not quietly asked as something else."""
    nan = {"prompt": "b", "params": {"temperature": float("nan")}}
    found = list(client.batch(["a", "half a sign: \ud83d", nan, "c"]))
    assert [result.status for result in found][::3] == ["ok", "ok"]
    assert found[2].status == "failed"
    assert "b" not in asked(server)


@pytest.mark.parametrize("options", [{"concurrency": -3}, {"limit": -1}, {"order": "random"}])
def test_options_that_cannot_be(options: dict[str, Any], client: Client) -> None:
    """The command refuses them too, and a batch that quietly does nothing would be found out late."""
    with pytest.raises(UsageError, match="cannot be"):
        list(client.batch(["a"], **options))


def test_rows_that_are_none(client: Client) -> None:
    """What cannot be written as JSON is a mistake of the program."""
    with pytest.raises(UsageError, match="neither"):
        list(client.batch([{"prompt": {1, 2}}]))
