"""Files as chunks of bytes, packed with gzip or Zstandard or not at all."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal

from llmctl.batch.lines import CHUNK
from llmctl.core.errors import ConfigError, MissingExtra

Packing = Literal["gzip", "zstd"]
MAGIC: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
ZSTD_SIP = 512
"""Packed bytes taken at a time: four can stand for a block of 128 KiB, so no sip unpacks to over 16 MiB."""
ZSTD_WINDOW = 128 * 2**20
"""Most memory a frame may ask for: what the zstd command takes without further options."""


class Damaged(Exception):
    """The packed bytes end too early or are not what they claim to be."""


def chunks(file: BinaryIO, packing: Packing | None, name: str) -> Iterator[bytes]:
    """The unpacked bytes, at most CHUNK at a time. ConfigError names the line where reading broke."""
    line = 1
    try:
        for chunk in READERS[packing](file):
            yield chunk
            line += chunk.count(b"\n")
    except (Damaged, zlib.error) as error:
        raise ConfigError(f"{name}:{line}: {error}", hint="copy or pack the file again") from None
    except OSError as error:
        raise unreadable(name, error) from None


def unreadable(name: str, error: OSError) -> ConfigError:
    problem = error.strerror or str(error)
    return ConfigError(f"{name}: cannot be read: {problem}", hint="check the path and its permissions")


def optional(module: str, what: str, extra: str) -> Any:
    """A module that an extra brings. MissingExtra says how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise MissingExtra(what, extra) from None


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    import gzip

    with gzip.GzipFile(fileobj=file) as unpacked:
        try:
            while chunk := unpacked.read(CHUNK):
                yield chunk
        except EOFError:
            raise Damaged("the gzip data is cut off") from None
        except gzip.BadGzipFile as error:
            raise Damaged(f"not gzip: {error}") from None


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """Frame by frame: the library's own reader takes a cut frame for the end of the file."""
    zstandard = optional("zstandard", "reading .zst files", "zstd")
    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    frame = unpacker.decompressobj()
    try:
        for packed in _plain(file):
            for start in range(0, len(packed), ZSTD_SIP):
                sip = packed[start : start + ZSTD_SIP]
                while sip:
                    if frame.eof:
                        frame = unpacker.decompressobj()
                    yield from _portions(frame.decompress(sip))
                    sip = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise Damaged(f"not Zstandard: {error}") from None
    if not frame.eof:
        raise Damaged("the Zstandard data is cut off")


def _portions(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


READERS: dict[Packing | None, Callable[[BinaryIO], Iterator[bytes]]] = {
    None: _plain,
    "gzip": _gzip,
    "zstd": _zstd,
}
