"""How many tokens an image is, by the rules that the providers publish.

OpenAI: the image is fitted into 2048 × 2048, its short side brought down to 768, and paid by 512-pixel
tiles over a base (or, for its small models since 4.1, by 32-pixel patches times a factor); Anthropic:
width × height / 750 after fitting the long side into 1568; Gemini: 258 a tile.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

UNKNOWN_SIZE = (1024, 1024)
"""Taken for an image whose size cannot be read: one behind a URL, or of another format."""

HEADER = 400_000
"""Base64 characters of an image that are looked at; a JPEG's size comes after its thumbnail."""

TILES = {"gpt-4o-mini": (2833, 5667), "gpt-5": (70, 140), "o1": (75, 150), "o3": (75, 150), "gpt": (85, 170)}
"""OpenAI's tokens of the base and of a tile, by the beginning of the model's name."""

PATCHES = {
    "gpt-4.1-mini": 1.62,
    "gpt-4.1-nano": 2.46,
    "gpt-5-mini": 1.62,
    "gpt-5-nano": 2.46,
    "o4-mini": 1.72,
}
MOST_PATCHES = 1536

ANTHROPIC_LONG, ANTHROPIC_MOST, GEMINI_TILE = 1568, 1600, 258
SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers of a frame, which holds the size."""


def image_tokens(part: Mapping[str, Any], model: str) -> int:
    """The tokens of one `image_url` part for a `provider/model`."""
    given = part.get("image_url")
    url, detail = (given.get("url"), given.get("detail")) if isinstance(given, Mapping) else (given, None)
    width, height = size_of(url if isinstance(url, str) else "")
    name = model.rpartition("/")[2].lower()
    if "claude" in name:
        return _anthropic(width, height)
    if "gemini" in name or "gemma" in name:
        return _gemini(width, height)
    return _openai(width, height, name, str(detail or "auto"))


def _openai(width: int, height: int, name: str, detail: str) -> int:
    patch = _beginning(PATCHES, name)
    if patch is not None:
        return math.ceil(_patches(width, height) * patch)
    base, tile = _beginning(TILES, name) or TILES["gpt"]
    if detail == "low":
        return base
    shrink = min(1.0, 2048 / max(width, height))
    shrink *= min(1.0, 768 / (min(width, height) * shrink))
    across, down = (math.ceil(round(side * shrink, 6) / 512) for side in (width, height))
    return base + tile * across * down


def _patches(width: int, height: int) -> int:
    """32-pixel squares that cover the image, shrunk where they would be too many."""
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= MOST_PATCHES:
        return count
    shrink = math.sqrt(32 * 32 * MOST_PATCHES / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    shrink *= min(math.floor(across) / across, math.floor(down) / down) if min(across, down) >= 1 else 1
    return min(MOST_PATCHES, math.ceil(width * shrink / 32 - 1e-9) * math.ceil(height * shrink / 32 - 1e-9))


def _anthropic(width: int, height: int) -> int:
    shrink = min(1.0, ANTHROPIC_LONG / max(width, height))
    return min(ANTHROPIC_MOST, math.ceil(width * shrink * height * shrink / 750))


def _gemini(width: int, height: int) -> int:
    if max(width, height) <= 384:
        return GEMINI_TILE
    tile = min(768, max(256, math.floor(min(width, height) / 1.5)))
    return GEMINI_TILE * math.ceil(width / tile) * math.ceil(height / tile)


def _beginning(table: Mapping[str, T], name: str) -> T | None:
    """The row whose key the name begins with, the longest key first."""
    keys = [key for key in table if name.startswith(key)]
    return table[max(keys, key=len)] if keys else None


def size_of(url: str) -> tuple[int, int]:
    """Width and height in pixels out of the header of a data URL (PNG, JPEG, GIF, WebP)."""
    import base64

    head, comma, data = url[: HEADER + 100].partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return UNKNOWN_SIZE
    try:
        body = base64.b64decode(data[: min(len(data), HEADER) // 4 * 4])
        width, height = _read(body)
    except (ValueError, struct.error, IndexError):
        return UNKNOWN_SIZE
    return (width, height) if width > 0 and height > 0 else UNKNOWN_SIZE


def _read(body: bytes) -> tuple[int, int]:
    for start, read in READERS:
        if body.startswith(start):
            return read(body)
    return UNKNOWN_SIZE


def _png(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", body, 16)
    return width, height


def _gif(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", body, 6)
    return width, height


def _jpeg(body: bytes) -> tuple[int, int]:
    """Segment by segment to the first frame header."""
    place = 2
    while body[place] == 0xFF:
        marker, length = body[place + 1], struct.unpack_from(">H", body, place + 2)[0]
        if marker in SOF:
            height, width = struct.unpack_from(">HH", body, place + 5)
            return width, height
        place += 2 + length
    return UNKNOWN_SIZE


def _webp(body: bytes) -> tuple[int, int]:
    kind = body[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", body, 26)
    return width & 0x3FFF, height & 0x3FFF


READERS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int]]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
)
