"""`OUT.journal`: what a batch has finished, one checksummed line a row, append-only.

    CRC32(8 hex) KIND ROW KEY PAYLOAD\\n

KIND is `o` ok, `f` failed, `x` refused (`h` heads the file, `d` closes a finished batch), KEY the
first 32 hexadecimal digits of the request's identity, PAYLOAD the output row's JSON. A line that
was cut at the end of the file is cut off; one that is damaged elsewhere is left out, and its row
is sent again.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llmctl.core.errors import StorageError
from llmctl.core.files import private_lock

VERSION = 1
HEAD = 8 + 1 + 1 + 1
KEY = 32
NO_KEY = "-"
CHUNK = 16_384
END = 65_536
"""Bytes in which the last record is looked for; the one that closes a batch is far shorter."""
TORN_HEAD = re.compile(rb"(?:[0-9a-f]{0,8}|[0-9a-f]{8} |[0-9a-f]{8} h.{0,512})\Z", re.DOTALL)


class Record(NamedTuple):
    """One line of the journal and where it begins."""

    kind: str
    row: int
    key: str
    payload: bytes
    offset: int


class Journal:
    """The journal of one output, locked against a second run. Appends are written at once."""

    def __init__(self, path: Path | None) -> None:
        """`path` None: a private file without a name, for a batch that goes to stdout."""
        self.path = path or Path("the batch's temporary file")
        self._fd = _open(path) if path else _nameless()
        self.end = 0
        self.damaged = 0
        self._synced = 0
        self._chunk = b"", 0
        """What was read last, and from where: at the end of a batch records are read in their order."""

    @property
    def dirty(self) -> bool:
        """Whether something was appended since the last `sync`."""
        return self.end > self._synced

    def records(self) -> Iterator[Record]:
        """Every whole record, in the order of writing; afterwards the torn tail is cut off.

        A file without any record is left as it is, unless all it holds is the beginning of a first one.
        """
        offset = 0
        self.damaged = 0
        ours = False
        line = b""
        with os.fdopen(os.dup(self._fd), "rb", buffering=1 << 20) as file:
            file.seek(0)
            for line in file:
                record = parse(line, offset)
                if record is not None:
                    ours = True
                    yield record
                elif line.endswith(b"\n"):
                    self.damaged += 1
                else:
                    break
                offset += len(line)
        if not ours and not begins(line):
            self.damaged += 1
            return
        os.ftruncate(self._fd, offset)
        self.end = self._synced = offset

    def append(self, kind: str, row: int, key: str, payload: bytes) -> int:
        """Writes one record and gives its offset. StorageError where the disk is full."""
        body = b"%b %d %b %b" % (kind.encode(), row, key.encode(), payload)
        line = b"%08x %b\n" % (zlib.crc32(body), body)
        offset = self.end
        try:
            written = os.pwrite(self._fd, line, offset)
            while written < len(line):
                written += os.pwrite(self._fd, line[written:], offset + written)
        except OSError as error:
            raise self._fault(error) from None
        self.end = offset + len(line)
        return offset

    def read(self, offset: int) -> Record:
        """The record at an offset that `append` or `records` gave."""
        data, start = self._chunk
        at = offset - start
        end = data.find(b"\n", at) if 0 <= at < len(data) else -1
        size = CHUNK
        while end < 0:
            data, at = os.pread(self._fd, size, offset), 0
            self._chunk = data, offset
            end = data.find(b"\n")
            if end < 0 and len(data) < size:
                break
            size *= 8
        record = parse(data[at : end + 1], offset)
        if record is None:
            raise StorageError(
                f"{self.path}: damaged at byte {offset}", hint="run the batch again with --restart"
            )
        return record

    def sync(self) -> None:
        """What was appended so far is on the disk itself. Safe in another thread."""
        end = self.end
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._fault(error) from None
        self._synced = max(self._synced, end)

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
        self.end = self._synced = 0
        self._chunk = b"", 0

    def close(self) -> None:
        os.close(self._fd)

    def _fault(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path}: {error.strerror}",
            hint="what is finished is kept: make room and run the same command again",
        )


def last(path: Path) -> Record | None:
    """The last record, None where the file is not there, is cut, or ends in something longer than END."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = os.pread(file.fileno(), END, max(0, size - END))
    except OSError:
        return None
    begins = data.rfind(b"\n", 0, len(data) - 1) + 1
    return parse(data[begins:], size - len(data) + begins) if begins else None


def look(path: Path) -> Iterator[Record]:
    """The records of a journal that may be at work: without its lock, and nothing is changed.

    None where there is no such file. StorageError where it cannot be read.
    """
    try:
        with path.open("rb", buffering=1 << 20) as file:
            offset = 0
            for line in file:
                record = parse(line, offset)
                if record is not None:
                    yield record
                offset += len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="check -o") from None


def _open(path: Path) -> int:
    try:
        fd = private_lock(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="choose another output with -o") from None
    if fd is None:
        raise StorageError(f"{path}: another run is writing it", hint="wait for it, or choose another -o")
    return fd


def _nameless() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def begins(line: bytes) -> bool:
    """Whether a file's only line may be a head that was cut."""
    return not line.endswith(b"\n") and TORN_HEAD.match(line) is not None


def parse(line: bytes, offset: int) -> Record | None:
    """The record of a whole line, None where it is cut or its checksum is wrong."""
    if not line.endswith(b"\n"):
        return None
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:-1]):
            return None
        kind, row, key, payload = line[9:-1].split(b" ", 3)
        return Record(kind.decode(), int(row), key.decode(), payload, offset)
    except ValueError:
        return None
