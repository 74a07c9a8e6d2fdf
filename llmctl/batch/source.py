"""A file of prompts: which kind it is, its rows as they stand, its digest. Read as often as asked."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import BinaryIO, Literal

from llmctl.batch.lines import BOM, CHUNK, RawRow, line_rows, split, utf8
from llmctl.batch.unpack import MAGIC, Packing, chunks, unreadable
from llmctl.core.errors import ConfigError
from llmctl.core.files import expanded

Kind = Literal["jsonl", "csv", "tsv", "text", "parquet"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
}
PACKINGS: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}
STDIN = "stdin"


class Source:
    """The rows of a file, or of `stream` (default: stdin) where `path` is None or `-`.

    `kind` says what the rows are; without it the name does, and where that says nothing the first
    bytes do (stdin is JSONL). What can be read only once is copied to a private temporary file
    that has no name. Faults of the whole file are ConfigErrors with file and line, raised by
    whatever reads so far.
    """

    def __init__(
        self, path: str | None = None, stream: BinaryIO | None = None, *, kind: Kind | None = None
    ) -> None:
        self.path = None if path in (None, "-") else expanded(str(path))
        self.name = STDIN if path in (None, "-") else str(path)
        self._stream = stream
        self._copy: BinaryIO | None = None
        suffixes = [suffix.lower() for suffix in self.path.suffixes] if self.path else []
        self._packing: Packing | None = PACKINGS.get(suffixes[-1]) if suffixes else None
        if self._packing:
            suffixes.pop()
        self._suffix = suffixes[-1] if suffixes else ""
        self._kind = kind or KINDS.get(self._suffix) or (None if self.path else "jsonl")

    @property
    def kind(self) -> Kind:
        """What the rows are, looked up in the first bytes where neither caller nor name says it."""
        if self._kind is None:
            start = self._start()
            self._kind = (
                "parquet" if start.startswith(b"PAR1") else "jsonl" if start.startswith(b"{") else "text"
            )
        return self._kind

    @property
    def packing(self) -> Packing | None:
        """How the bytes are packed: by the name's end, or by their first bytes where it says nothing."""
        if self._packing is None and self._suffix not in KINDS:
            with closing(self._open()) as file:
                start = self._read(file, 4)
            self._packing = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)
        return self._packing

    def raw_rows(self) -> Iterator[RawRow]:
        """Every row from the start, blank lines left out; memory does not grow with the file."""
        if self.kind == "parquet":
            yield from self._parquet()
            return
        if self._suffix == ".json" and self._start().startswith(b"["):
            hint = f"one object a line: jq -c '.[]' {self.name} > rows.jsonl"
            raise ConfigError(f"{self.name}:1: a JSON list, not JSON lines", hint=hint)
        lists = split(utf8(self._chunks(), self.name))
        if self.kind in ("csv", "tsv"):
            from llmctl.batch.tables import csv_rows

            yield from csv_rows(lists, self.name, "," if self.kind == "csv" else "\t")
        else:
            yield from line_rows(lists, self.kind == "text")

    def digest(self) -> str:
        """BLAKE2b (256 bits, hexadecimal) of the file's bytes as they are, packed or not."""
        found = blake2b(digest_size=32)
        with closing(self._open()) as file:
            while chunk := self._read(file, 2**20):
                found.update(chunk)
        return found.hexdigest()

    def add(self, chunk: bytes) -> None:
        """The next bytes of what comes by and by, before anything is read. ConfigError without room."""
        if self._copy is None:
            self._copy = tempfile.TemporaryFile(prefix="llmctl-")  # noqa: SIM115 - read until close()
        self._keep(self._copy, chunk)

    def close(self) -> None:
        """Forgets the copy of what could be read only once."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> bytes:
        """The first bytes that are not blank, unpacked."""
        with closing(self._chunks()) as parts:
            for number, chunk in enumerate(parts):
                if found := (chunk if number else chunk.removeprefix(BOM)).lstrip():
                    return found[:8]
        return b""

    def _chunks(self) -> Generator[bytes, None, None]:
        packing = self.packing
        with closing(self._open()) as file:
            yield from chunks(file, packing, self.name)

    def _parquet(self) -> Iterator[RawRow]:
        from llmctl.batch.tables import parquet_rows

        if self.packing is None:
            with closing(self._open()) as file:
                yield from parquet_rows(file, self.name)
            return
        with tempfile.TemporaryFile(prefix="llmctl-") as whole:
            for chunk in self._chunks():
                self._keep(whole, chunk)
            yield from parquet_rows(_reader(whole), self.name)

    def _open(self) -> BinaryIO:
        try:
            if self._copy is None and self.path is not None:
                file = self.path.open("rb", buffering=0)
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return file
                with file:
                    self._copy = self._spool(file)
        except OSError as error:
            raise unreadable(self.name, error) from None
        if self._copy is None:
            self._copy = self._spool(self._stream or sys.stdin.buffer)
        return _reader(self._copy)

    def _spool(self, stream: BinaryIO) -> BinaryIO:
        copy = tempfile.TemporaryFile(prefix="llmctl-")  # noqa: SIM115 - read until close()
        while chunk := self._read(stream, CHUNK):
            self._keep(copy, chunk)
        return copy

    def _keep(self, copy: BinaryIO, chunk: bytes) -> None:
        try:
            copy.write(chunk)
            copy.flush()
        except OSError as error:
            hint = "free some space, or name another folder with TMPDIR"
            problem = f"{self.name}: cannot be kept in {tempfile.gettempdir()}: {error.strerror}"
            raise ConfigError(problem, hint=hint) from None

    def _read(self, stream: BinaryIO, size: int) -> bytes:
        try:
            return stream.read(size)
        except OSError as error:
            raise unreadable(self.name, error) from None


def _reader(file: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Reader(file.fileno()), CHUNK)


class _Reader(io.RawIOBase):
    """Reads a descriptor at a place of its own, so that several readers do not disturb one another."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._place = start[whence] + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = os.pread(self._descriptor, len(buffer), self._place)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
