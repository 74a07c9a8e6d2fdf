"""Disks that fill, folders that cannot be written, devices that take nothing."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .harness import (
    asked,
    assert_answered,
    assert_whole,
    names,
    questions,
    read,
    requests,
    start,
    until,
    write,
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 192 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_of_the_output_fills(
    disk: Path, llmctl: Run, server: TestServer, work: Path, home: Path
) -> None:
    """What is finished is kept, the torn tail cut, and with room the batch goes on: fault 61."""
    rows = questions(600)
    write(work / "in.jsonl", rows)
    out = disk / "out.jsonl"
    filler = disk / "filler"
    filler.write_bytes(bytes(60_000))
    done = llmctl("batch", "in.jsonl", "-o", str(out), "--concurrency", "5")
    assert done.returncode == 3
    assert "No space left" in done.stderr.splitlines()[-1]
    assert "to go on: llmctl batch" in done.stderr
    sent = requests(server)
    assert 50 < sent < 600
    kept = (disk / "out.jsonl.journal").read_bytes().count(b"\n") - 1
    assert kept >= sent - 5
    filler.unlink()
    roomy = work / "roomy"
    roomy.mkdir()
    shutil.copy(disk / "out.jsonl.journal", roomy)
    assert llmctl("batch", "in.jsonl", "-o", str(roomy / "out.jsonl"), "--no-cache").returncode == 0
    assert_answered(roomy / "out.jsonl", rows)
    assert requests(server) <= 600 + 5


def test_the_disk_fills_as_out_is_written(llmctl: Run, disk: Path, server: TestServer, work: Path) -> None:
    """The journal has room and OUT has not: the rows are safe, nothing half written stays."""
    rows = questions(300)
    write(work / "in.jsonl", rows)
    filler = disk / "filler"
    filler.write_bytes(bytes(20_000))
    done = llmctl("batch", "in.jsonl", "-o", str(disk / "out.jsonl"))
    assert done.returncode == 3
    assert {path.name for path in disk.iterdir()} == {"filler", "out.jsonl.journal"}
    assert requests(server) == 300
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert llmctl("batch", "in.jsonl", "-o", str(disk / "out.jsonl")).returncode == 0
    assert_answered(disk / "out.jsonl", rows)
    assert requests(server) == 300


def test_a_limit_on_file_sizes(environ: dict[str, str], server: TestServer, work: Path, llmctl: Run) -> None:
    """`ulimit -f` does what a full disk does, for those who may not mount one."""
    rows = questions(400)
    write(work / "in.jsonl", rows)
    assert llmctl("run", "warm up", "--no-cache").returncode == 0  # the ledger is made before the limit holds

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    environ = {**environ, "LLMCTL_HOME": str(work / "elsewhere"), "PYTHONDONTWRITEBYTECODE": "1"}
    code, _, err = start(
        environ, work, "in.jsonl", "-o", "out.jsonl", "--concurrency", "5", "--no-cache", setup=limit
    ).end()
    assert code == 3, err
    assert "Traceback" not in err
    shutil.rmtree(work / "elsewhere")
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--no-cache").returncode == 0
    assert_answered(work / "out.jsonl", rows)


def test_a_torn_tail_is_cut(llmctl: Run, server: TestServer, work: Path) -> None:
    """Half a line at the end is half a row: it is asked again, the others are not."""
    rows = questions(10)
    write(work / "in.jsonl", rows)
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--no-cache").returncode == 0
    journal = work / "out.jsonl.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:10]) + lines[10][:40])
    (work / "out.jsonl").unlink()
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--no-cache").returncode == 0
    assert_answered(work / "out.jsonl", rows)
    assert requests(server) == 11


def read_only(folder: Path, llmctl_home: bool, environ: dict[str, str]) -> None:
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(folder, os.W_OK):
        mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("whoever may write everywhere has no read-only folder")


@pytest.mark.parametrize("which", ["out", "home"])
def test_read_only_folders(which: str, llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """Found out before anything is paid for: fault 64."""
    write(work / "in.jsonl", questions(5))
    folder = work / "results" if which == "out" else home
    folder.mkdir()
    read_only(folder, which == "home", {})
    try:
        done = llmctl("batch", "in.jsonl", "-o", "results/out.jsonl" if which == "out" else "out.jsonl")
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert str(folder.name) in done.stderr
    assert requests(server) == 0


def test_a_folder_that_became_read_only(llmctl: Run, server: TestServer, work: Path) -> None:
    """The journal can be written and OUT beside it cannot: that too is known beforehand."""
    out = work / "results"
    out.mkdir()
    write(work / "in.jsonl", questions(5))
    assert llmctl("batch", "in.jsonl", "-o", "results/out.jsonl", "--limit", "2").returncode == 0
    sent = requests(server)
    bind = ["mount", "--bind", str(out), str(out)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(out)], check=True)
        done = llmctl("batch", "in.jsonl", "-o", "results/out.jsonl")
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)
    assert done.returncode == 3
    assert requests(server) == sent


@pytest.mark.parametrize("size", [230, 238, 250, 256])
def test_a_name_that_leaves_no_room_for_others(
    size: int, llmctl: Run, server: TestServer, work: Path
) -> None:
    """Files beside OUT have longer names than it has: told before anything is paid, or nothing to tell."""
    write(work / "in.jsonl", [{"prompt": "fails"}])
    server.script(default="status:400")
    done = llmctl("batch", "in.jsonl", "-o", "o" * size)
    if size <= 255 - len(".") - len(".failed.jsonl.tmp"):
        assert done.returncode == 9, done.stderr
        assert names(work) == {"in.jsonl", *("o" * size + more for more in ("", ".journal", ".failed.jsonl"))}
    else:
        assert done.returncode == 3
        assert "File name too long" in done.stderr
        assert requests(server) == 0


def test_stdout_is_a_full_device(environ: dict[str, str], server: TestServer, work: Path) -> None:
    """Nobody can read the answers: stop, say so, exit 3 (fault 65)."""
    write(work / "in.jsonl", questions(50))
    with Path("/dev/full").open("wb") as full:
        code, _, err = start(environ, work, "in.jsonl", "--concurrency", "2", stdout=full).end()
    assert code == 3
    assert "No space left" in err
    assert "Traceback" not in err
    assert requests(server) < 10


def test_a_reader_that_goes_away(environ: dict[str, str], server: TestServer, work: Path) -> None:
    """`| head -1` ends quietly, and soon."""
    server.script(latency=0.1)
    write(work / "in.jsonl", questions(200))
    reader, writer = os.pipe()
    started = start(environ, work, "in.jsonl", "--concurrency", "2", stdout=writer)
    os.close(writer)
    assert os.read(reader, 9) == b'{"id":"0"'
    os.close(reader)
    code, _, err = started.end()
    assert (code, err) == (0, "")
    assert requests(server) < 100
    assert all(entry["done"] for entry in server.log())


def test_two_batches_on_one_output(
    environ: dict[str, str], llmctl: Run, server: TestServer, work: Path, home: Path
) -> None:
    """The second would pay for the same rows: it refuses (fault 70)."""
    server.script(latency=0.3)
    rows = questions(12)
    write(work / "in.jsonl", rows)
    first = start(environ, work, "in.jsonl", "-o", "out.jsonl", "--concurrency", "2")
    until(lambda: requests(server) >= 2)
    second = llmctl("batch", "in.jsonl", "-o", "out.jsonl")
    restarted = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--restart")
    assert (second.returncode, restarted.returncode) == (3, 3)
    assert "another run" in second.stderr
    assert first.end()[0] == 0
    assert_answered(work / "out.jsonl", rows)
    assert sorted(asked(server)) == sorted(row["prompt"] for row in rows)
    assert_whole(work / "out.jsonl.journal", home)


def test_files_are_private(llmctl: Run, work: Path) -> None:
    """Answers and journals are their owner's alone, whatever the umask says."""
    write(work / "in.jsonl", questions(2))
    before = os.umask(0)
    try:
        assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    finally:
        os.umask(before)
    for name in ("out.jsonl", "out.jsonl.journal"):
        assert stat.S_IMODE((work / name).stat().st_mode) == 0o600
    assert len(read(work / "out.jsonl")) == 2
