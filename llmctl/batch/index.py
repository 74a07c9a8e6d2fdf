"""Facts about millions of rows in flat memory: fixed-size records in unlinked temporary files.

A million rows take some 8 and 32 MB of disk there, and next to nothing of the process's memory.
"""

from __future__ import annotations

import os
import struct
import tempfile
from array import array
from errno import ENOSPC
from pathlib import Path
from typing import IO

from llmctl.core.errors import StorageError

EMPTY = 0


def unnamed(folder: Path | None) -> IO[bytes]:
    """A file that ends with its last opener; StorageError where the folder takes none."""
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _fault(folder, error) from None


def _fault(folder: Path | None, error: OSError) -> StorageError:
    return StorageError(
        f"{folder or tempfile.gettempdir()}: {error.strerror}",
        hint="what is finished is kept: make the folder writable, with room, and run the same command again",
    )


class Rows:
    """A set of row numbers: a bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, row: int) -> None:
        byte = row >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 4096 - len(self._bits)))
        self._bits[byte] |= 1 << (row & 7)

    def __contains__(self, row: int) -> bool:
        byte = row >> 3
        return byte < len(self._bits) and bool(self._bits[byte] & (1 << (row & 7)))


class Offsets:
    """Row number -> where its record stands in the journal. Pages that are in use are in memory."""

    ROWS = 512
    """A page's."""
    BYTES = 8 * ROWS
    PAGES = 64
    """In memory at most: 256 KiB."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file = unnamed(folder)
        self._fd = self._file.fileno()
        self._pages: dict[int, array[int]] = {}

    def put(self, row: int, offset: int) -> None:
        """StorageError where the disk is full."""
        number, place = divmod(row, self.ROWS)
        page = self._pages.get(number)
        if page is None:
            page = self._load(number)
        page[place] = offset + 1

    def get(self, row: int) -> int | None:
        """The offset, None where the row has no record."""
        number, place = divmod(row, self.ROWS)
        page = self._pages.get(number)
        if page is None:
            page = self._load(number)
        found = page[place]
        return found - 1 if found else None

    def _load(self, number: int) -> array[int]:
        """The page, in the place of the one that has been in memory for longest."""
        try:
            if len(self._pages) >= self.PAGES:
                oldest = next(iter(self._pages))
                if os.pwrite(self._fd, self._pages[oldest], oldest * self.BYTES) < self.BYTES:
                    raise OSError(ENOSPC, os.strerror(ENOSPC))
                del self._pages[oldest]
            stored = os.pread(self._fd, self.BYTES, number * self.BYTES)
        except OSError as error:
            raise _fault(self._folder, error) from None
        page = self._pages[number] = array("Q", stored.ljust(self.BYTES, b"\0"))
        return page

    def close(self) -> None:
        self._file.close()


class Known:
    """Request identity -> where its record stands: a few in memory, more in a hash table on disk.

    Keys are 64 bits of the identity; whoever reads the record compares the whole key. The table is one
    with linear probing.
    """

    SLOT = struct.Struct("<QQ")
    FEW = 16_384

    def __init__(self, folder: Path | None, expected: int = 1024) -> None:
        self._folder = folder
        self._count = 0
        self._few: dict[int, int] | None = {}
        self._make(max(1024, 1 << (2 * expected).bit_length()))

    def _make(self, slots: int) -> None:
        self._slots = slots
        self._file = unnamed(self._folder)
        self._fd = self._file.fileno()
        os.ftruncate(self._fd, slots * self.SLOT.size)
        self._used = Rows()

    def __len__(self) -> int:
        return self._count if self._few is None else len(self._few)

    def get(self, key: str) -> int | None:
        """The offset recorded last for this identity (hexadecimal), None where there is none."""
        number = _number(key)
        if self._few is not None:
            return self._few.get(number)
        _, value = self._find(number)
        return value - 1 if value else None

    def put(self, key: str, offset: int) -> None:
        """StorageError where the disk is full."""
        number = _number(key)
        if self._few is None:
            self._store(number, offset)
            return
        self._few[number] = offset
        if len(self._few) > self.FEW:
            few, self._few = self._few, None
            for each, place in few.items():
                self._store(each, place)

    def _store(self, number: int, offset: int) -> None:
        try:
            if 2 * self._count >= self._slots:
                self._grow()
            slot, value = self._find(number)
            os.pwrite(self._fd, self.SLOT.pack(number, offset + 1), slot * self.SLOT.size)
            self._used.add(slot)
        except OSError as error:
            raise _fault(self._folder, error) from None
        self._count += value == EMPTY

    def _find(self, number: int) -> tuple[int, int]:
        slot = number % self._slots
        while slot in self._used:  # spares reading a slot that is free
            found, value = self.SLOT.unpack(os.pread(self._fd, self.SLOT.size, slot * self.SLOT.size))
            if found == number:
                return slot, value
            slot = (slot + 1) % self._slots
        return slot, EMPTY

    def _grow(self) -> None:
        old, count = self._file, self._count
        size = self._slots * self.SLOT.size
        self._make(self._slots * 4)
        for start in range(0, size, 65_536):
            for number, value in self.SLOT.iter_unpack(os.pread(old.fileno(), 65_536, start)):
                if value:
                    slot, _ = self._find(number)
                    os.pwrite(self._fd, self.SLOT.pack(number, value), slot * self.SLOT.size)
                    self._used.add(slot)
        self._count = count
        old.close()

    def close(self) -> None:
        self._file.close()


def _number(key: str) -> int:
    return int(key[:16], 16)
