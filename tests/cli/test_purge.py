"""What a person asked can be forgotten: nothing of it is left under the home, and the money stays right."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import sqlite3
import subprocess
import sys
import termios
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ..batch.harness import names, start, until, write
from ..conftest import Run
from ..server.client import TestServer


@pytest.fixture(autouse=True)
def profile(environ: dict[str, str], work: Path) -> None:
    """A profile whose log holds texts, so that it has something to forget."""
    (work / "llmctl.yaml").write_text("profile: dev\nprivacy: {log_texts: true}\n")


def holds(folder: Path, *words: str) -> list[str]:
    """Files that hold one of the words."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(
        str(path.relative_to(folder))
        for path in found
        if any(word.encode() in path.read_bytes() for word in words)
    )


def usage(llmctl: Run) -> Any:
    done = llmctl("usage", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["total"]


def hashes(home: Path) -> list[tuple[str, str | None, str | None]]:
    with closing(sqlite3.connect(home / "ledger.db")) as db:  # left open, its files would go at any time
        return db.execute("SELECT request_hash, answer_hash, tag FROM calls ORDER BY id").fetchall()


def test_everything(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """Cache, log, journal: no word of it; reports say what they said; the question costs again."""
    assert llmctl("run", "--tag", "whisperer", "a zebra whispers").returncode == 0
    write(work / "in.jsonl", [{"prompt": "the zebra row"}])
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    before = usage(llmctl)
    assert holds(home, "zebra")
    done = llmctl("purge", "--all", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["answers"], told["calls"], told["log_lines"]) == (2, 2, 2)
    assert told["journals"] == [str(work / "out.jsonl.journal")] and told["kept"] == [str(work / "out.jsonl")]
    assert holds(home, "zebra", "whisperer") == []
    assert "out.jsonl.journal" not in names(work) and "out.jsonl" in names(work)
    assert hashes(home) == [("", None, None)] * 2
    assert usage(llmctl) == before
    assert llmctl("run", "a zebra whispers").returncode == 0
    assert server.stats()["requests"] == 3


def test_a_tag(llmctl: Run, work: Path, home: Path) -> None:
    """One person's calls, runs and answers; everybody else's stay."""
    for tag, word in (("jane", "zebra"), ("john", "tiger")):
        assert llmctl("run", "--tag", tag, f"a {word} runs").returncode == 0
        write(work / f"{tag}.jsonl", [{"prompt": f"the {word} row", "tag": tag}])
        assert llmctl("batch", f"{tag}.jsonl", "-o", f"{tag}.out").returncode == 0
    before = usage(llmctl)
    done = llmctl("purge", "--tag", "jane")
    assert done.returncode == 0, done.stderr
    assert "2 removed from the cache" in done.stdout and str(work / "jane.out") in done.stderr
    assert holds(home, "zebra", "jane") == [] and holds(home, "tiger")
    assert [tag for _, _, tag in hashes(home)] == [None, None, "john", "john"]
    assert {"john.out.journal"} == {name for name in names(work) if name.endswith("journal")}
    assert usage(llmctl) == before
    again = json.loads(llmctl("purge", "--tag", "jane", "--json").stdout)
    assert (again["answers"], again["calls"], again["log_lines"], again["journals"]) == (0, 0, 0, [])


def test_what_is_older(llmctl: Run, work: Path, home: Path) -> None:
    """By the time of each: what came after stays."""
    assert llmctl("run", "an old zebra").returncode == 0
    write(work / "in.jsonl", [{"prompt": "an old zebra row"}])
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    time.sleep(1.1)
    then = time.time()
    assert llmctl("run", "--tag", "x", "a new tiger").returncode == 0
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    done = llmctl("purge", "--before", stamp, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answers"] == 2
    assert holds(home, "zebra") == [] and holds(home, "tiger")
    assert [bool(name) for name, _, _ in hashes(home)] == [False, False, True]
    assert llmctl("purge", "--before", "30d", "--json").returncode == 0
    assert holds(home, "tiger")


def test_encrypted_answers_by_tag(llmctl: Run, work: Path, home: Path) -> None:
    """Their names are keyed hashes, found again with the key."""
    pytest.importorskip("cryptography")
    (work / "llmctl.yaml").write_text("profile: dev\ncache: {encrypt: 'env:CACHE'}\n")
    env = {"CACHE": "c" * 40}
    for tag in ("jane", "john"):
        assert llmctl("run", "--tag", tag, f"hello {tag}", env=env).returncode == 0
    assert json.loads(llmctl("purge", "--tag", "jane", "--json", env=env).stdout)["answers"] == 1
    assert json.loads(llmctl("cache", "stats", "--json", env=env).stdout)["entries"] == 1


def test_a_cache_that_cannot_be_read(llmctl: Run, home: Path) -> None:
    """It may still hold texts: it goes as a whole."""
    assert llmctl("run", "a zebra").returncode == 0
    database = home / "cache" / "cache.db"
    database.write_bytes(b"no database" + database.read_bytes()[11:])
    assert llmctl("purge", "--all").returncode == 0
    assert holds(home, "zebra") == []


def test_a_batch_at_work_keeps_its_journal(
    llmctl: Run, server: TestServer, environ: dict[str, str], work: Path
) -> None:
    """What is paid for is not lost under its feet; the purge says so and is repeated."""
    server.script(default="delay:3")
    write(work / "in.jsonl", [{"prompt": "slow"}])
    batch = start(environ, work, "in.jsonl", "-o", "out.jsonl")
    until(lambda: server.stats()["requests"])
    done = llmctl("purge", "--all")
    assert done.returncode == 3 and "a batch is writing it" in done.stderr
    assert (work / "out.jsonl.journal").exists()
    batch.process.terminate()
    batch.end()


@pytest.mark.parametrize("args", [[], ["--all", "--tag", "x"], ["--before", "soon"]])
def test_wrong_usage(llmctl: Run, home: Path, args: list[str]) -> None:
    """Nothing is forgotten by mistake."""
    assert llmctl("run", "a zebra").returncode == 0
    assert llmctl("purge", *args).returncode == 2
    assert holds(home, "zebra")


def test_the_environments_tag_is_no_order_to_forget(llmctl: Run, home: Path) -> None:
    """LLMCTL_TAG labels what a CI job asks: a `purge` beside it forgets what its own options name."""
    ci = {"LLMCTL_TAG": "ci"}
    assert llmctl("run", "a zebra", env=ci).returncode == 0
    assert llmctl("purge", env=ci).returncode == 2
    assert holds(home, "zebra")
    assert llmctl("purge", "--all", env=ci).returncode == 0
    assert not holds(home, "zebra")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [("n\n", 130, "nothing was forgotten"), ("\x03", 130, "interrupted"), ("\x04", 130, "interrupted")],
)
def test_whoever_is_asked_back_may_say_no(
    llmctl: Run, environ: dict[str, str], work: Path, home: Path, answer: str, code: int, said: str
) -> None:
    """On a terminal; a no is no bug, and neither is a Ctrl-C or Ctrl-D."""
    assert llmctl("run", "a zebra").returncode == 0
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmctl", "purge", "--all"],
        env=environ,
        cwd=work,
        stdin=inner,
        stderr=inner,
        stdout=subprocess.PIPE,
        preexec_fn=own_terminal,
    )
    os.close(inner)
    told = ""
    while "[y/N]" not in told:
        told += os.read(outer, 4096).decode()
    os.write(outer, answer.encode())
    assert process.wait(30) == code
    with suppress(OSError):  # its other end is closed
        while piece := os.read(outer, 4096):
            told += piece.decode()
    os.close(outer)
    assert said in told and "bug" not in told
    assert holds(home, "zebra")


def own_terminal() -> None:
    """A session whose terminal is stdin, so that Ctrl-C there is an interrupt."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_an_empty_home(llmctl: Run, home: Path) -> None:
    """Nothing to forget is nothing wrong, and makes nothing."""
    done = llmctl("purge", "--all", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["answers"] == 0
    assert not home.exists() or not list(home.iterdir())
