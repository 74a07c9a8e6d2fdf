"""Drawings as PNG: one byte a pixel into a palette, twice as fine as they are laid out."""

from __future__ import annotations

import struct
import zlib

from llmctl.formats.font import HIGH, WIDE, letter
from llmctl.formats.picture import PALETTE, Drawing, Words

SCALE = 2
WHITE, GREY, BLACK = 0, 1, 2
COLOURS = ("#ffffff", "#d5d9dd", "#222222", *PALETTE)
PLAINER = {ord("…"): "...", ord("·"): "-"}
ADVANCE = WIDE + 1
"""Pixels from letter to letter, before scaling."""


def png(drawing: Drawing) -> bytes:
    """A whole PNG file."""
    width, height = drawing.width * SCALE, drawing.height * SCALE
    rows = [bytearray(width) for _ in range(height)]
    for bar in drawing.bars:
        colour = GREY if bar.series is None else 3 + bar.series % len(PALETTE)
        first, last = round(bar.x * SCALE), max(round((bar.x + bar.width) * SCALE), round(bar.x * SCALE) + 1)
        top, bottom = round(bar.y * SCALE), max(round((bar.y + bar.height) * SCALE), round(bar.y * SCALE) + 1)
        line = bytes([colour]) * (min(last, width) - first)
        for row in rows[top:bottom]:
            row[first : first + len(line)] = line
    for words in drawing.words:
        _write(rows, words)
    palette = b"".join(bytes.fromhex(colour[1:]) for colour in COLOURS)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _write(rows: list[bytearray], words: Words) -> None:
    """ASCII as letters, everything else as its number, `\\u20ac`."""
    said = words.said.translate(PLAINER).encode("ascii", "backslashreplace").decode("ascii")
    left = words.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor] * len(said) * ADVANCE
    top = round((words.y - HIGH) * SCALE)
    for number, char in enumerate(said):
        x = round(left * SCALE) + number * ADVANCE * SCALE
        for down, bits in enumerate(letter(char)):
            for across in range(WIDE):
                if bits >> (WIDE - 1 - across) & 1:
                    _dot(rows, x + across * SCALE, top + down * SCALE, 1 + words.bold)


def _dot(rows: list[bytearray], x: int, y: int, wide: int) -> None:
    for row in rows[max(y, 0) : y + SCALE]:
        size = min(SCALE + wide - 1, len(row) - x)
        if x >= 0 and size > 0:
            row[x : x + size] = bytes([BLACK]) * size
