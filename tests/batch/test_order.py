"""Rows in the order of the input, or as they are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .harness import lines, questions, read, write


@pytest.fixture
def slow_first(server: TestServer, work: Path) -> None:
    """Five rows of which the first takes longest; the last is as the second."""
    rows = questions(4)
    write(work / "in.jsonl", [*rows, rows[1]])
    server.script(match=[{"contains": "question 0", "default": "delay:0.6"}])


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_order(profile: str, to_file: bool, slow_first: None, llmctl: Run, work: Path) -> None:
    """By default line n answers line n; with `done` nobody waits for the slowest."""
    found = {}
    for order in ("input", "done"):
        to = ("-o", f"{order}.jsonl") if to_file else ()
        done = llmctl("batch", "in.jsonl", "--order", order, "-p", profile, "--no-cache", *to)
        assert done.returncode == 0, done.stderr
        found[order] = read(work / f"{order}.jsonl") if to_file else lines(done.stdout)
    assert [row["row"] for row in found["input"]] == [0, 1, 2, 3, 4]
    assert sorted(row["row"] for row in found["done"]) == [0, 1, 2, 3, 4]
    assert [row["row"] for row in found["done"] if row["row"] != 4][-1] == 0
    for rows in found.values():
        assert all(row["text"] == f"echo: question {row['row'] if row['row'] < 4 else 1}" for row in rows)


def test_done_order_of_a_stopped_batch(server: TestServer, llmctl: Run, work: Path) -> None:
    """Rows that were not asked stand at the end, as pending."""
    write(work / "in.jsonl", questions(6))
    server.script(queue=[None, None, "key_refused"])
    args = ("batch", "in.jsonl", "--order", "done", "--concurrency", "1", "--no-cache")
    for done, found in (
        (a := llmctl(*args), lines(a.stdout)),
        (b := llmctl(*args, "-o", "out.jsonl"), None),
    ):
        rows = found if found is not None else read(work / "out.jsonl")
        assert done.returncode in (0, 4)
        assert [row["row"] for row in rows] == list(range(6))
    assert b.returncode == 0
