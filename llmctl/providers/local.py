"""The embedded model: llama.cpp's own server, started when first asked for and shared.

`ensure` gives the address and key of a server for some weights. To the rest of the program that is
one more endpoint that speaks OpenAI's chat format. How it lives and ends: `local_host`; how commands
agree on one: `local_files`.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmctl.core.errors import (
    ConfigError,
    ConnectionFailed,
    LlmctlError,
    MissingExtra,
    ProviderTimeout,
    StorageError,
)
from llmctl.providers.local_files import HostFiles, Record, healthy, locked, process_started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL = 0.02  # seconds between looks at a lock that another process holds
GRACE = 5.0  # seconds that a host gets to end before it is killed
SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|DSN|_URL$", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """Where the embedded model listens: an OpenAI-style base address and its bearer key."""

    base_url: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Start:
    """How a host is to run: its weights, how long it stays idle, its threads (None: as the cores say)."""

    weights: Path
    idle: float
    threads: int | None


@dataclass(frozen=True)
class HostStatus:
    """One living host, for people: its process, weights, runtime's version, and whether it answers."""

    pid: int
    weights: str
    runtime: str
    healthy: bool


async def ensure(
    weights: Path, home: Path, idle: float = 180, start_timeout: float = 60, threads: int | None = None
) -> Endpoint:
    """The endpoint of a healthy host for `weights`, started if there is none; cheap if there is.

    Renews the host's lease: it stays for `idle` seconds (as its first starter said) after the last
    call of this and the last request. Any number of processes may call it at once: one host starts.
    `threads` compute; None: one fewer than cores, by any host that was not asked for a number.
    Times are in seconds. Raises ConfigError for weights that cannot be loaded, MissingExtra without
    the runtime, StorageError for an unusable home, ConnectionFailed for a host that died at start,
    ProviderTimeout when it is not ready after `start_timeout`.
    """
    import asyncio

    files = HostFiles.of(home, weights, threads)
    start = Start(weights, idle, threads)
    deadline = time.monotonic() + start_timeout
    launched = False
    try:
        while True:
            with locked(files.lock, exclusive=False) as lease:
                record = _renewed(files, lease)
                well = record is not None and await asyncio.to_thread(healthy, record.port)
            if record and well:
                return Endpoint(f"http://127.0.0.1:{record.port}/v1", record.key)
            if launched and lease is not None and record is None:
                raise _died(files, weights)
            if lease is not None:
                launched = await asyncio.to_thread(_launch, files, start, record)
            if time.monotonic() >= deadline:
                raise _slow(files, start_timeout)
            await asyncio.sleep(POLL)
    except OSError as error:
        raise StorageError(f"cannot use the folder {files.folder}: {error.strerror}") from error


def status(home: Path) -> list[HostStatus]:
    """The living hosts of this home, loaded ones only."""
    records = [record for files in HostFiles.all(home) if (record := files.living())]
    return [HostStatus(r.pid, r.weights, r.runtime, healthy(r.port, 2.0)) for r in records]


def stop(home: Path) -> int:
    """End all hosts of this home, loading ones too; how many there were."""
    return sum(_stop(files) for files in HostFiles.all(home))


def _renewed(files: HostFiles, lease: int | None) -> Record | None:
    """The living host, its lease renewed; None while another process starts or ends it."""
    if lease is None:
        return None
    os.utime(lease)
    return files.living()


def _launch(files: HostFiles, start: Start, sick: Record | None) -> bool:
    """Start a host, in place of `sick` if given; False when somebody else was faster.

    Returns once the host holds the lock; the lock is free again when the host is ready, or dead.
    """
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise MissingExtra("the embedded model", "local")
    with locked(files.lock, exclusive=True) as lock:
        if lock is None:
            return False
        record = files.living()
        if record and record != sick:
            return False
        if record and not _end(record.pid, record.started, lambda: files.living() is None):
            raise ConnectionFailed(
                f"the host of the embedded model (process {record.pid}) hangs", hint="end it"
            )
        os.ftruncate(lock, 0)  # the name of an earlier host
        _sweep(files, start.weights.resolve())
        _spawn(files, start, lock)
        return True


def _spawn(files: HostFiles, start: Start, lock: int) -> None:
    """Run the host's starter, which ends as soon as the host itself is on its own."""
    import subprocess
    import sys

    # It outlives this command, so it gets none of its keys, pipes or terminal, and -P keeps modules
    # that happen to lie in the current folder out.
    command = [sys.executable, "-P", "-m", "llmctl.providers.local_host"]
    weights = str(start.weights.resolve())
    arguments = [str(files.folder), files.key, weights, str(start.idle), str(lock), str(start.threads or 0)]
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        subprocess.run(  # noqa: S603 - our own module
            command + arguments,
            check=False,  # why it failed is in the log, and its lock is free
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not SECRET_NAMES.search(name)},
        )
    finally:
        os.close(log)


def _sweep(mine: HostFiles, weights: Path) -> None:
    """Remove what dead hosts left, and retire those that run an older state of the same weights."""
    stat = weights.stat()
    for other in HostFiles.all(mine.folder.parent):
        if other.key == mine.key:
            continue
        with locked(other.lock, exclusive=True) as lock:
            if lock is None:
                continue
            record = other.living()
            if record is None:
                other.remove()
            elif record.weights == str(weights) and record.mtime_ns != stat.st_mtime_ns:
                other.endpoint.unlink(missing_ok=True)


def _stop(files: HostFiles) -> bool:
    """End the one host of these files, and remove what is left of it; False when there is none."""
    who = _who(files)
    if who and not _end(*who, lambda: files.living() is None and not _held(files)):
        files.endpoint.unlink(missing_ok=True)  # out of reach of signals, it leaves when it sees this
    with locked(files.lock, exclusive=True) as lock:
        if lock is not None and files.living() is None:
            files.remove()
    return who is not None


def _who(files: HostFiles) -> tuple[int, str] | None:
    """Process id and start of the host, be it serving or still loading."""
    patience = time.monotonic() + GRACE
    while time.monotonic() < patience:
        if record := files.living():
            return record.pid, record.started
        if not _held(files):
            break
        pid, _, began = files.lock.read_text().partition(" ")
        if pid:
            return int(pid), began
        time.sleep(POLL)  # it has the lock, and will say in a moment who it is
    return None


def _held(files: HostFiles) -> bool:
    with locked(files.lock, exclusive=False) as lock:
        return lock is None


def _end(pid: int, started: str, gone: Callable[[], bool]) -> bool:
    """End the process, by force after `GRACE`, if it still is the one that began at `started`."""
    import contextlib
    import signal

    for signum in (signal.SIGTERM, signal.SIGKILL):
        if process_started(pid) != started:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        patience = time.monotonic() + GRACE
        while time.monotonic() < patience and not gone():
            time.sleep(POLL)
        if gone():
            return True
    return gone()


def _died(files: HostFiles, weights: Path) -> LlmctlError:
    """Why the host that was just started is no more, from its log."""
    try:
        lines = files.log.read_text(errors="replace").split("\n")
    except FileNotFoundError:
        lines = []
    # llama.cpp's first error says what is wrong, those after it only who gave up on it.
    for line in lines:
        if error := re.match(r"[\d.]+ E (?:\w+: )?(.*)", line):
            return ConfigError(f"cannot load {weights}: {error[1][:300]}", hint="is it a whole GGUF file?")
    last = next((line for line in reversed(lines) if line.strip()), "without a word")
    return ConnectionFailed(
        f"the host of the embedded model ended at start: {last[:300]}", hint=f"see {files.log}"
    )


def _slow(files: HostFiles, waited: float) -> LlmctlError:
    return ProviderTimeout(
        f"the embedded model was not ready after {waited:g} s",
        hint=f"try again: it goes on loading; {files.log}",
    )
