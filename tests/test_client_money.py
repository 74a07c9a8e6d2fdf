"""The library's estimate, usage and budget: the command's own, as values."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from llmctl import Client


@pytest.fixture
def client(environ: dict[str, str], work: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.chdir(work)
    (work / "profiles").mkdir()
    (work / "profiles" / "tight.yaml").write_text("extends: dev\nbudgets: [{limit: 1, per: day}]\n")
    return Client("tight", environ=environ)


def test_estimate_run_usage_budget(client: Client) -> None:
    """One program: ask what it costs, do it, see what it did cost and what is left."""
    with client:
        before = client.estimate("hello there", max_cost=0.5)
        answer = client.run("hello there")
        total = client.usage(by=("model",)).total
        (budget,) = client.budget()
    cost = before.total.cost
    assert answer.cost is not None
    assert cost.low is not None
    assert cost.most is not None
    assert cost.low <= answer.cost <= cost.most
    assert [share.status.name for share in before.budgets] == ["--max-cost", "day"]
    assert total.calls == 1
    assert total.cost == answer.cost == budget.spent


def test_a_file_and_what_is_over(client: Client, work: Path) -> None:
    """The verdict of a batch, without a process."""
    (work / "a.jsonl").write_text("".join(json.dumps({"prompt": f"row {n}"}) + "\n" for n in range(4)))
    with client:
        found = client.estimate(rows="a.jsonl", max_cost=0.001, limit=3)
        assert client.estimate(rows=["one", {"prompt": "two"}, "one"]).duplicates == 1
    assert (found.rows, found.verdict, found.exit_code) == (3, "over", 6)


def test_it_works_inside_an_event_loop(client: Client) -> None:
    """Nothing of it needs a loop of its own."""

    async def main() -> int:
        async with client:
            return client.estimate("hello").to_send + len(client.budget())

    assert asyncio.run(main()) == 2
