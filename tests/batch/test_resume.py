"""The same command again: what is finished is not paid for twice, what changed is asked anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .harness import asked, assert_answered, lines, names, questions, read, requests, start, until, write

ARGS = ("batch", "in.jsonl", "-o", "out.jsonl", "--no-cache")
"""Without the cache, so that whatever is asked again is seen by the server."""


@pytest.fixture
def finished(llmctl: Run, work: Path) -> list[dict[str, Any]]:
    """Ten rows that have been answered."""
    rows = questions(10)
    write(work / "in.jsonl", rows)
    assert llmctl(*ARGS).returncode == 0
    return rows


def test_a_finished_batch_sends_nothing(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """Typing it twice costs nothing and changes nothing."""
    before = (work / "out.jsonl").read_bytes()
    again = llmctl(*ARGS)
    assert again.returncode == 0
    assert "all 10 rows were finished before; nothing was sent" in again.stderr
    assert (work / "out.jsonl").read_bytes() == before
    assert requests(server) == 10


def test_a_finished_batch_is_known_by_its_journals_end(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """A million finished rows are not read again: the journal's last line and the files' bytes tell."""
    journal = work / "out.jsonl.journal"
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b"question 3", b"question X"))
    again = llmctl(*ARGS)
    assert "all 10 rows were finished before; nothing was sent" in again.stderr
    (work / "out.jsonl").write_bytes((work / "out.jsonl").read_bytes() + b"\n")
    assert llmctl(*ARGS).returncode == 3, "an OUT that was changed by hand is not taken for finished"
    assert requests(server) == 10


CHANGES: dict[str, tuple[Any, int, int]] = {
    "edited": (lambda rows: [*rows[:3], {"prompt": "another"}, *rows[4:]], 1, 1),
    "inserted": (lambda rows: [*rows[:3], {"prompt": "new"}, *rows[3:]], 1, 1),
    "appended": (lambda rows: [*rows, {"prompt": "new"}], 1, 0),
    "removed": (lambda rows: [*rows[:3], *rows[5:]], 0, 0),
    "reordered": (lambda rows: list(reversed(rows)), 0, 0),
    "doubled": (lambda rows: [*rows, rows[4]], 0, 0),
    "doubled in front": (lambda rows: [rows[4], *rows], 0, 0),
    "blank lines": (lambda rows: rows, 0, 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_exactly_the_changed_rows_are_sent(
    change: str, finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """A row is known by what it asks, not by where it stands: fault 90."""
    edit, sent, changed = CHANGES[change]
    rows = edit(finished)
    write(work / "in.jsonl", rows)
    if change == "blank lines":
        (work / "in.jsonl").write_text((work / "in.jsonl").read_text().replace("\n", "\n\n"))
    done = llmctl(*ARGS)
    assert done.returncode == 0, done.stderr
    assert_answered(work / "out.jsonl", rows)
    assert requests(server) == 10 + sent
    said = f"{changed} rows changed since the last run and were sent again" in done.stderr
    assert said == bool(changed)
    paid = [row["cost_usd"] for row in read(work / "out.jsonl")]
    assert sum(cost > 0 for cost in paid) == len({row["prompt"] for row in rows}), (
        "each answer's price stands once"
    )


def test_an_id_may_change(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """An id is no part of the question; OUT has the new one, whichever row it was."""
    write(work / "in.jsonl", [{**row, "id": f"named {n}"} for n, row in enumerate(finished)])
    assert llmctl(*ARGS).returncode == 0
    assert [row["id"] for row in read(work / "out.jsonl")] == [f"named {n}" for n in range(10)]
    assert requests(server) == 10
    assert llmctl(*ARGS, "--order", "done").returncode == 0
    assert requests(server) == 10


@pytest.mark.parametrize(
    ("more", "again"),
    [
        (("-O", "temperature=0.1"), 10),
        (("-s", "Be brief"), 10),
        (("-m", "openai/gpt-4.1"), 10),
        (("-p", "changed"), 10),
        (("-p", "limited"), 0),
        (("--concurrency", "2"), 0),
        (("--tag", "nightly"), 0),
        (("--format", "openai"), 0),
    ],
)
def test_settings_that_change_the_question(
    more: tuple[str, ...],
    again: int,
    finished: list[dict[str, Any]],
    llmctl: Run,
    server: TestServer,
    work: Path,
) -> None:
    """Model, parameters and system text are the question; limits, keys, tags and the form of OUT are not."""
    (work / "profiles").mkdir()
    (work / "profiles" / "changed.yaml").write_text("extends: dev\nparams: {seed: 5}\n")
    (work / "profiles" / "limited.yaml").write_text(
        "extends: dev\nlimits: {concurrency: 3}\nretry: {attempts: 9}\n"
    )
    done = llmctl(*ARGS, *more)
    assert done.returncode == 0, done.stderr
    assert requests(server) == 10 + again
    assert (f"{again} rows changed" in done.stderr) == bool(again)


def test_failed_rows_wait_for_the_word(llmctl: Run, server: TestServer, work: Path) -> None:
    """A row that failed is asked again only with --retry-failed; the others never."""
    rows = questions(6)
    write(work / "in.jsonl", rows)
    server.script(match=[{"contains": "question 2", "default": "status:400"}])
    first = llmctl(*ARGS)
    assert first.returncode == 9
    assert [row["status"] for row in read(work / "out.jsonl")] == ["ok", "ok", "failed", "ok", "ok", "ok"]
    assert read(work / "out.jsonl.failed.jsonl") == [rows[2]]
    server.script()
    assert llmctl(*ARGS).returncode == 9
    assert requests(server) == 6
    assert llmctl(*ARGS, "--retry-failed").returncode == 0
    assert requests(server) == 7
    assert_answered(work / "out.jsonl", rows)
    assert names(work) == {"in.jsonl", "out.jsonl", "out.jsonl.journal"}


def test_the_failed_rows_are_an_input(llmctl: Run, server: TestServer, work: Path) -> None:
    """OUT.failed.jsonl runs as it is, whatever kind of file the rows came from."""
    (work / "in.csv").write_text("id,prompt,tag\na,first,x\nb,second,y\n")
    (work / "in.txt").write_text("first line\nsecond line\n")
    server.script(match=[{"contains": "second", "default": "status:400"}])
    for name in ("in.csv", "in.txt"):
        assert llmctl("batch", name, "-o", f"{name}.out", "--no-cache").returncode == 9
    server.script()
    for name in ("in.csv", "in.txt"):
        done = llmctl("batch", f"{name}.out.failed.jsonl")
        assert done.returncode == 0, done.stderr
        assert [row["status"] for row in lines(done.stdout)] == ["ok"]
    assert lines(llmctl("batch", "in.csv.out.failed.jsonl").stdout)[0]["id"] == "b"


def test_a_limit_first_then_more(llmctl: Run, server: TestServer, work: Path) -> None:
    """Trying ten rows before paying for all of them."""
    rows = questions(10)
    write(work / "in.jsonl", rows)
    assert llmctl(*ARGS, "--limit", "4").returncode == 0
    assert_answered(work / "out.jsonl", rows[:4])
    assert llmctl(*ARGS, "--limit", "7").returncode == 0
    assert_answered(work / "out.jsonl", rows[:7])
    assert llmctl(*ARGS).returncode == 0
    assert_answered(work / "out.jsonl", rows)
    assert sorted(asked(server)) == sorted(row["prompt"] for row in rows)


def test_a_stranger_is_never_overwritten(llmctl: Run, server: TestServer, work: Path) -> None:
    """An OUT that was there before: refused before anything is paid, replaced with --restart alone."""
    rows = questions(3)
    write(work / "in.jsonl", rows)
    (work / "out.jsonl").write_text("my notes\n")
    refused = llmctl(*ARGS)
    assert (refused.returncode, requests(server)) == (3, 0)
    assert "out.jsonl: not written by this batch" in refused.stderr
    assert names(work) == {"in.jsonl", "out.jsonl"}
    assert (work / "out.jsonl").read_text() == "my notes\n"
    assert llmctl(*ARGS, "--restart").returncode == 0
    assert_answered(work / "out.jsonl", rows)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.failed.jsonl"])
def test_a_file_edited_by_hand_is_never_overwritten(
    name: str, llmctl: Run, server: TestServer, work: Path
) -> None:
    """What somebody wrote into our file is theirs."""
    rows = questions(3)
    write(work / "in.jsonl", rows)
    server.script(match=[{"contains": "question 1", "default": "status:400"}])
    assert llmctl(*ARGS).returncode == 9
    with (work / name).open("a") as file:
        file.write('{"prompt": "mine"}\n')
    edited = (work / name).read_bytes()
    server.script()
    assert llmctl(*ARGS, "--retry-failed").returncode == 3
    assert (work / name).read_bytes() == edited
    assert requests(server) == 3
    assert llmctl(*ARGS, "--restart").returncode == 0
    assert_answered(work / "out.jsonl", rows)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.failed.jsonl"])
def test_a_file_that_comes_while_the_batch_runs_is_never_overwritten(
    name: str, environ: dict[str, str], llmctl: Run, server: TestServer, work: Path
) -> None:
    """A slow batch ends long after its first look: what is there by then is not its own either."""
    rows = questions(3)
    write(work / "in.jsonl", rows)
    server.script(latency=0.3)
    running = start(environ, work, "in.jsonl", "-o", "out.jsonl")
    until(lambda: requests(server))
    (work / name).write_text("my notes\n")
    code, _, err = running.end()
    assert code == 3
    assert f"{name}: not written by this batch" in err
    assert (work / name).read_text() == "my notes\n"
    assert names(work) == {"in.jsonl", "out.jsonl.journal", name}
    (work / name).unlink()
    assert llmctl(*ARGS).returncode == 0
    assert_answered(work / "out.jsonl", rows)
    assert requests(server) == 3


def test_without_its_journal_an_output_is_a_stranger(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """Nothing says any more that it is ours."""
    (work / "out.jsonl.journal").unlink()
    assert llmctl(*ARGS).returncode == 3
    assert names(work) == {"in.jsonl", "out.jsonl"}
    assert requests(server) == 10


def test_without_its_output_a_journal_makes_it_anew(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """An OUT that was deleted or moved comes back for nothing."""
    before = (work / "out.jsonl").read_bytes()
    (work / "out.jsonl").unlink()
    assert llmctl(*ARGS).returncode == 0
    assert (work / "out.jsonl").read_bytes() == before
    assert requests(server) == 10


@pytest.mark.parametrize(
    "garbage", [b"my notes", b"my notes\n", b"my\nnotes", b"\x00" * 5000, b"deadbeef o 1 - {}\n"]
)
def test_a_journal_of_garbage(garbage: bytes, llmctl: Run, server: TestServer, work: Path) -> None:
    """Somebody else's file under the journal's name is left alone until --restart says otherwise."""
    rows = questions(2)
    write(work / "in.jsonl", rows)
    journal = work / "out.jsonl.journal"
    journal.write_bytes(garbage)
    done = llmctl(*ARGS)
    assert (done.returncode, requests(server)) == (3, 0)
    assert "--restart" in done.stderr
    assert journal.read_bytes() == garbage
    assert llmctl(*ARGS, "--restart").returncode == 0
    assert_answered(work / "out.jsonl", rows)


@pytest.mark.parametrize("line", [0, 1, 5, 10])
def test_a_damaged_line_costs_one_row(
    line: int, finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """A flipped bit in the middle: that row is asked again, told so, and the others are kept."""
    journal = work / "out.jsonl.journal"
    found = journal.read_bytes().splitlines(keepends=True)
    found[line] = found[line].replace(b'"', b"'", 1)
    journal.write_bytes(b"".join(found))
    (work / "out.jsonl").unlink()
    done = llmctl(*ARGS)
    assert done.returncode == 0, done.stderr
    assert "1 lines of the journal were damaged" in done.stderr
    assert_answered(work / "out.jsonl", finished)
    assert requests(server) == 10 + (line > 0)


def test_a_torn_last_line_makes_no_stranger_of_the_output(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """What the journal says of its own OUT may be what was being written when the machine died."""
    journal = work / "out.jsonl.journal"
    journal.write_bytes(journal.read_bytes()[:-5])
    done = llmctl(*ARGS)
    assert done.returncode == 0, done.stderr
    assert_answered(work / "out.jsonl", finished)
    assert requests(server) == 10


def test_restart_forgets(finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path) -> None:
    """--restart pays for all rows anew, and says so by doing it."""
    assert llmctl(*ARGS, "--restart").returncode == 0
    assert requests(server) == 20
    assert_answered(work / "out.jsonl", finished)


def test_a_restart_that_was_stopped_goes_on(llmctl: Run, server: TestServer, work: Path) -> None:
    """The file that --restart may replace stays replaceable: the way on leaves the option out."""
    rows = questions(5)
    write(work / "in.jsonl", rows)
    (work / "out.jsonl").write_text("a stranger\n")
    server.script(queue=[None, None, "key_refused"])
    stopped = llmctl(*ARGS, "--restart", "--concurrency", "1")
    assert stopped.returncode == 4
    assert "--restart" not in stopped.stderr.splitlines()[-1]
    server.script()
    assert llmctl(*ARGS, "--concurrency", "1").returncode == 0
    assert_answered(work / "out.jsonl", rows)


@pytest.mark.parametrize("first", ["llmctl", "openai"])
def test_a_change_of_form_is_free(
    first: str, finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """--format may be chosen when all is done: what is known comes out in the other form."""
    second = {"llmctl": "openai", "openai": "llmctl"}[first]
    texts = []
    for form in (first, second):
        assert llmctl(*ARGS, "--format", form).returncode == 0
        found = read(work / "out.jsonl")
        texts.append(
            [row["text"] for row in found]
            if form == "llmctl"
            else [row["response"]["body"]["choices"][0]["message"]["content"] for row in found]
        )
    assert texts[0] == texts[1]
    assert requests(server) == 10


def test_the_input_itself_is_never_the_output(llmctl: Run, server: TestServer, work: Path) -> None:
    """A slip of the finger must not cost the questions, not even with --restart."""
    rows = questions(2)
    write(work / "in.jsonl", rows)
    for extra in ((), ("--restart",)):
        done = llmctl("batch", "in.jsonl", "-o", "in.jsonl", *extra)
        assert done.returncode in (2, 3)
        assert read(work / "in.jsonl") == rows
    shutil.copy(work / "in.jsonl", work / "x.journal")
    assert llmctl("batch", "x.journal", "-o", "x", "--restart").returncode == 2
    assert read(work / "x.journal") == rows
    assert requests(server) == 0


@pytest.mark.parametrize("target", ["/dev/null", "."])
def test_an_output_that_is_no_file(target: str, llmctl: Run, server: TestServer, work: Path) -> None:
    """A rename over a device would destroy it."""
    write(work / "in.jsonl", questions(1))
    done = llmctl("batch", "in.jsonl", "-o", target, "--restart")
    assert (done.returncode, requests(server)) == (3, 0)
    assert Path("/dev/null").is_char_device()
    assert not Path("/dev/null.journal").exists()


def test_what_is_cached_is_not_paid_for(llmctl: Run, server: TestServer, work: Path) -> None:
    """Another batch with the same questions takes them from the cache, and says what that saved."""
    write(work / "in.jsonl", questions(4))
    assert llmctl("batch", "in.jsonl", "-o", "one.jsonl").returncode == 0
    done = llmctl("batch", "in.jsonl", "-o", "two.jsonl", "--json")
    found = json.loads(done.stdout)
    assert (found["cached"], found["requests"], found["cost_usd"]) == (4, 0, 0)
    assert found["saved_usd"] > 0
    assert [row["cached"] for row in read(work / "two.jsonl")] == ["exact"] * 4
    assert requests(server) == 4


def test_what_was_finished_stays_in_the_output_of_a_run_that_stops(
    finished: list[dict[str, Any]], llmctl: Run, server: TestServer, work: Path
) -> None:
    """A budget that stops the next run at its first row must not take paid answers out of OUT."""
    write(work / "in.jsonl", [{"prompt": "new, in front"}, *finished])
    stopped = llmctl(*ARGS, "--max-cost", "0", "--concurrency", "3", "--json")
    summary = json.loads(stopped.stdout)
    assert stopped.returncode == 6
    assert (summary["ok"], summary["pending"], summary["resumed"]) == (10, 1, 10)
    out = read(work / "out.jsonl")
    assert [row["status"] for row in out] == ["pending"] + ["ok"] * 10
    assert [row["text"] for row in out[1:]] == [f"echo: {row['prompt']}" for row in finished]
    assert requests(server) == 10


def test_an_output_that_is_a_link_stays_one(llmctl: Run, server: TestServer, work: Path) -> None:
    """Outputs are placed on other disks by links: what comes goes to where they lead, a second run too."""
    (work / "disk").mkdir()
    (work / "out.jsonl").symlink_to(work / "disk" / "answers.jsonl")
    for count in (2, 3):
        rows = questions(count)
        write(work / "in.jsonl", rows)
        assert llmctl(*ARGS).returncode == 0
        assert (work / "out.jsonl").is_symlink()
        assert_answered(work / "disk" / "answers.jsonl", rows)
    assert requests(server) == 3
    assert names(work / "disk") == {"answers.jsonl"}


def test_a_link_in_the_place_of_the_draft_is_not_followed(llmctl: Run, work: Path) -> None:
    """Whatever it leads to is not this batch's to write."""
    rows = questions(2)
    write(work / "in.jsonl", rows)
    (work / "mine").write_text("precious\n")
    (work / ".out.jsonl.tmp").symlink_to("mine")
    assert llmctl(*ARGS).returncode == 0
    assert (work / "mine").read_text() == "precious\n"
    assert not (work / "out.jsonl").is_symlink()
    assert_answered(work / "out.jsonl", rows)
