"""Shards on several machines, and their outputs made one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .harness import asked, assert_answered, lines, names, questions, read, write

ROWS = questions(11)
SHARDS = ("out.1", "out.2", "out.3")


@pytest.fixture
def shards(llmctl: Run, work: Path) -> Path:
    """Three shards of eleven rows, each in the order its rows were done."""
    write(work / "in.jsonl", ROWS)
    for number in (1, 2, 3):
        done = llmctl("batch", "in.jsonl", "-o", f"out.{number}", "--shard", f"{number}/3", "--order", "done")
        assert done.returncode == 0, done.stderr
    return work


def test_shards_make_the_whole(shards: Path, llmctl: Run, server: TestServer) -> None:
    """Each row is asked by one shard, and the merged file is that of one batch."""
    assert sorted(asked(server)) == sorted(row["prompt"] for row in ROWS)
    done = llmctl("merge", *reversed(SHARDS), "-o", "whole.jsonl")
    assert (done.returncode, done.stderr) == (0, "llmctl: 11 rows\n")
    assert_answered(shards / "whole.jsonl", ROWS)
    assert [row["row"] for row in lines(llmctl("merge", *SHARDS).stdout)] == list(range(11))


def test_shards_in_the_form_of_openai(llmctl: Run, work: Path) -> None:
    """Rows of OpenAI's form have no number but in their id."""
    write(work / "in.jsonl", ROWS)
    for number in (1, 2):
        args = ("-o", f"out.{number}", "--shard", f"{number}/2", "--format", "openai")
        assert llmctl("batch", "in.jsonl", *args).returncode == 0
    assert llmctl("merge", "out.2", "out.1", "-o", "whole.jsonl").returncode == 0
    found = read(work / "whole.jsonl")
    assert [row["custom_id"] for row in found] == [str(number) for number in range(11)]


def test_what_is_missing_is_told(shards: Path, llmctl: Run) -> None:
    """A shard that was left out: the rows that are there are written, the others named, exit 9."""
    done = llmctl("merge", "out.1", "out.3", "-o", "whole.jsonl")
    assert done.returncode == 9
    assert "3 rows are missing: 1, 4, 7" in done.stderr
    assert len(read(shards / "whole.jsonl")) == 7
    told = json.loads(llmctl("merge", "out.1", "out.3", "-o", "whole.jsonl", "--force", "--json").stdout)
    assert (told["schema"], told["rows"], told["missing"]) == (1, 7, 3)


def test_rows_that_overlap_are_refused(shards: Path, llmctl: Run) -> None:
    """Two outputs with the same row are not two shards of one batch."""
    done = llmctl("merge", *SHARDS, "out.2", "-o", "whole.jsonl")
    assert done.returncode == 3
    assert "row 1 stands in out.2 too" in done.stderr
    assert "whole.jsonl" not in names(shards)


def test_two_forms_are_refused(shards: Path, llmctl: Run) -> None:
    """A file that is half the one and half the other is nobody's."""
    again = llmctl("batch", "in.jsonl", "-o", "out.2", "--shard", "2/3", "--format", "openai")
    assert again.returncode == 0, again.stderr
    assert llmctl("merge", *SHARDS, "-o", "whole.jsonl").returncode == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json\n", "x:1"),
        ('{"a": 1}\n', "not a row"),
        ('{"row": -1}\n', "x:1"),
        ('{"id": "batch_req_x"}\n', "x:1"),
    ],
)
def test_a_file_that_is_no_output(text: str, said: str, llmctl: Run, work: Path) -> None:
    """Told with its line."""
    (work / "x").write_text(text)
    done = llmctl("merge", "x")
    assert done.returncode == 3
    assert said in done.stderr


def test_nothing_is_overwritten_by_mistake(shards: Path, llmctl: Run) -> None:
    """Neither a file that is there, nor ever an input."""
    before = (shards / "out.1").read_bytes()
    assert llmctl("merge", *SHARDS, "-o", "in.jsonl").returncode == 3
    assert llmctl("merge", *SHARDS, "-o", "out.1", "--force").returncode == 2
    assert llmctl("merge", *SHARDS, "nowhere", "-o", "whole.jsonl").returncode == 3
    assert (shards / "out.1").read_bytes() == before
    assert read(shards / "in.jsonl") == ROWS


def test_pending_and_failed_rows_are_counted(llmctl: Run, server: TestServer, work: Path) -> None:
    """A whole with holes in it says so."""
    write(work / "in.jsonl", ROWS)
    server.script(queue=["status:400", None, "key_refused"])
    first = llmctl("batch", "in.jsonl", "-o", "out.1", "--shard", "1/2", "--concurrency", "1")
    assert first.returncode == 4
    server.script()
    assert llmctl("batch", "in.jsonl", "-o", "out.2", "--shard", "2/2").returncode == 0
    done = llmctl("merge", "out.1", "out.2", "-o", "whole.jsonl")
    assert done.returncode == 0
    assert "1 of them failed, 4 were not sent yet" in done.stderr


@pytest.mark.parametrize("shard", ["0/3", "4/3", "x/3", "3", "1/0", "²/3", "１/2"])
def test_a_shard_that_is_none(shard: str, llmctl: Run, work: Path) -> None:
    """Shards count from one."""
    write(work / "in.jsonl", ROWS)
    assert llmctl("batch", "in.jsonl", "--shard", shard).returncode == 2
