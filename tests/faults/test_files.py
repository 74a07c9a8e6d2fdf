"""FAULTS 72, 74, 75: what lies on the disk is believed only where nobody else can have put it there."""

from __future__ import annotations

import os
import pickle
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.harness import write
from tests.conftest import Run
from tests.server.client import TestServer


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def change(home: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(home / "cache" / "cache.db") as db:
        db.execute(statement, values)
    db.close()


@pytest.mark.parametrize(
    "how",
    ["value = substr(value, 1, 60)", "value = replace(value, 'hello', 'goodbye')", "value = ''", "value = 7"],
)
def test_fault_72_an_entry_changed_by_hand_is_a_miss(
    llmctl: Run, server: TestServer, home: Path, how: str
) -> None:
    """The question is asked again, nothing is said, and the entry is whole afterwards."""
    for _ in range(2):
        assert llmctl("run", "hello").stdout == "echo: hello\n"
    assert server.stats()["requests"] == 1
    change(home, f"UPDATE Cache SET {how}")
    for _ in range(2):
        done = llmctl("run", "hello")
        assert (done.returncode, done.stdout, done.stderr) == (0, "echo: hello\n", "")
    assert server.stats()["requests"] == 2


def test_fault_72_a_cut_file_is_a_miss(llmctl: Run, server: TestServer, home: Path) -> None:
    """Long answers lie in files of their own, which a full disk cuts."""
    server.script(default="words:9000")
    assert llmctl("run", "hello").returncode == 0
    (value,) = (home / "cache").rglob("*.val")
    value.write_bytes(value.read_bytes()[:-10])
    done = llmctl("run", "hello")
    assert (done.returncode, len(done.stdout.split())) == (0, 9000)
    assert server.stats()["requests"] == 2


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_fault_74_a_planted_pickle_is_never_loaded(
    llmctl: Run, server: TestServer, home: Path, tmp_path: Path, mode: int
) -> None:
    """In the value, in a file, in the key: for `run`, and for all that looks through the cache."""
    assert llmctl("run", "hello").returncode == 0
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    folder = home / "cache" / "ab" / "cd"
    folder.mkdir(parents=True)
    (folder / "ef.val").write_bytes(bomb)
    change(home, "UPDATE Cache SET mode = ?, value = ?, filename = 'ab/cd/ef.val'", mode, bomb)
    columns = "key, raw, store_time, access_time, size, mode, value"
    change(home, f"INSERT INTO Cache ({columns}) VALUES (?, 0, 1, 1, 0, ?, ?)", bomb, mode, bomb)
    assert llmctl("run", "hello").stdout == "echo: hello\n"
    for command in (("cache", "stats"), ("cache", "prune"), ("cache", "clear"), ("purge", "--all")):
        assert llmctl(*command).returncode == 0
    assert server.stats()["requests"] == 2
    assert not (tmp_path / "ran").exists()


def test_fault_75_any_umask(environ: dict[str, str], work: Path, home: Path) -> None:
    """Whatever a run, a batch, a crash and their helpers leave is its owner's alone."""
    write(work / "in.jsonl", [{"prompt": "x" * 40_000}, {"prompt": "b", "model": "no such model"}])
    python = shlex.quote(sys.executable)
    llmctl = f"{python} -m llmctl"
    bug = (
        "from llmctl import pipeline as p; p.build = None; from llmctl.cli.app import run; run(['run', 'x'])"
    )
    script = (
        f"umask 000; {llmctl} run hi; {llmctl} batch in.jsonl -o out.jsonl; {llmctl} usage;"
        f"{llmctl} cache stats; {llmctl} usage -o usage.csv; {python} -c {shlex.quote(bug)}"
    )
    done = subprocess.run(
        ["sh", "-c", script], cwd=work, env=environ, capture_output=True, timeout=120, check=False
    )
    made = [home, *home.rglob("*"), *(path for path in work.iterdir() if path.name != "in.jsonl")]
    modes = {str(path): oct(path.stat().st_mode & 0o777) for path in made}
    wrong = {
        path: mode for path, mode in modes.items() if mode != ("0o700" if Path(path).is_dir() else "0o600")
    }
    assert not wrong, done.stderr.decode()
    names = {path.name for path in made}
    assert {"ledger.db", "cache.db", "llmctl.log", "out.jsonl", "out.jsonl.journal", "usage.csv"} <= names
    assert any(name.startswith("crash-") for name in names) and any(name.endswith(".val") for name in names)


def test_fault_75_the_library_under_any_umask(environ: dict[str, str], work: Path, home: Path) -> None:
    """Its host's umask stays what it was, and what it writes is private, in a linked home too."""
    code = (
        "import os; os.umask(0)\n"
        "from llmctl import Client\n"
        "with Client(profile='dev') as client:\n"
        "    client.run('x' * 40_000); list(client.batch(['a'], journal='j'))\n"
        "assert os.umask(0) == 0"
    )
    (work / "real").mkdir()
    home.symlink_to(work / "real")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=work, env=environ, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    made = [work / "j", work / "real", *(work / "real").rglob("*")]
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in made}
    assert {"ledger.db", "cache.db", "llmctl.log", "running", "j"} <= modes.keys()
    assert not {path.name for path in made if modes[path.name] != ("0o700" if path.is_dir() else "0o600")}
