"""The files through which commands and the host of the embedded model find each other.

All lie flat in `<home>/local/`, one set for each file of weights, machine and number of threads:

- `KEY.lock`: held shared while a command asks for the endpoint, exclusively while a host starts or
  leaves. Its modification time is the lease: a command touches it to keep the host.
- `KEY.json`: the endpoint. The host keeps it locked for as long as it lives, so the kernel says
  whether the host is alive, however it ended and whatever became of its process id.
- `KEY.log`: what the runtime said on its error output, emptied at each start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llmctl.core.errors import ConfigError
from llmctl.core.files import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Record:
    """What a living host says of itself; `started` is `process_started` of `pid`."""

    pid: int
    started: str
    port: int
    key: str = field(repr=False)
    weights: str
    size: int
    mtime_ns: int
    runtime: str


@dataclass(frozen=True)
class HostFiles:
    """The three files of one host."""

    folder: Path
    key: str

    @classmethod
    def of(cls, home: Path, weights: Path, threads: int | None = None) -> HostFiles:
        """The files for these weights on this machine; a changed file of weights has other ones.

        So has a number of threads that a profile asks for: who asks for another gets a host of his own.
        The machine's name counts because a home may be shared over a network, a loopback port never is.
        Raises ConfigError when the weights cannot be read, StorageError when the folder cannot be made.
        """
        try:
            path = weights.resolve(strict=True)
            stat = path.stat()
        except OSError as error:
            raise ConfigError(f"cannot read the weights {weights}: {error.strerror}") from error
        folder = home.absolute() / "local"
        private_folder(folder)
        parts = [os.uname().nodename, str(path), str(stat.st_size), str(stat.st_mtime_ns)]
        parts += [] if threads is None else [f"{threads} threads"]
        identity = "\0".join(parts).encode("utf-8", "surrogateescape")
        return cls(folder, hashlib.sha256(identity).hexdigest()[:16])

    @classmethod
    def all(cls, home: Path) -> list[HostFiles]:
        """Every set of files in this home, of living hosts and dead ones."""
        folder = home.absolute() / "local"
        names = {path.stem for suffix in ("lock", "json") for path in folder.glob(f"*.{suffix}")}
        return [cls(folder, name) for name in sorted(names)]

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.key}.lock"

    @property
    def endpoint(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.key}.log"

    def living(self) -> Record | None:
        """The record of the host that is alive, else None."""
        try:
            fd = os.open(self.endpoint, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            if try_lock(fd, exclusive=False):
                return None
            return Record(**json.load(file))

    def publish(self, record: Record) -> int:
        """Put the record in place in one step; the answer is the descriptor that keeps it locked."""
        new = self.endpoint.with_suffix(f".new{os.getpid()}")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try_lock(fd, exclusive=True)
        os.write(fd, json.dumps(asdict(record)).encode())
        new.replace(self.endpoint)
        return fd

    def publishes(self, fd: int) -> bool:
        """Whether `fd`, from `publish`, still is the endpoint that others find."""
        return same_file(fd, self.endpoint)

    def remove(self) -> None:
        """Remove all of them; only for who holds the lock exclusively."""
        for path in self.folder.glob(f"{self.key}.*"):
            path.unlink(missing_ok=True)


def try_lock(fd: int, *, exclusive: bool) -> bool:
    """Take the whole-file lock if it is free; it ends with the last descriptor of this opening."""
    import fcntl

    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Give the lock back for every process that shares this opening of the file."""
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_UN)


def same_file(fd: int, path: Path) -> bool:
    """Whether the open file is the one that the path names now."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), named)


def open_locked(path: Path, *, exclusive: bool) -> int | None:
    """A descriptor that holds the lock on `path`, made if missing; None while another holds it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            got = try_lock(fd, exclusive=exclusive)
            # Who held it before may have removed the file: a lock on a nameless file guards nothing.
            if got and same_file(fd, path):
                keep, fd = fd, -1
                return keep
        finally:
            if fd >= 0:
                os.close(fd)
        if not got:
            return None


@contextlib.contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[int | None]:
    """`open_locked` for a block; gives None, and never waits, while another holds it."""
    fd = open_locked(path, exclusive=exclusive)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def process_started(pid: int) -> str:
    """When the process began, in whatever form the system tells it; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    else:
        # The name before the last ")" may hold anything; the start is field 22 of proc(5).
        return stat.rpartition(")")[2].split()[19]
    import subprocess

    asked = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed words and a number


def healthy(port: int, timeout: float = 10.0) -> bool:
    """Whether the host's `/health` answers 200 within `timeout` seconds."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as peer:
            peer.settimeout(timeout)
            peer.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return peer.recv(64).split(b" ", 2)[1:2] == [b"200"]
    except OSError:
        return False
