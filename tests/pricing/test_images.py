"""Tokens of images: sizes out of real headers, and the examples that the providers publish."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from llmctl.pricing.images import UNKNOWN_SIZE, image_tokens, size_of


def _png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    )


def _jpeg(width: int, height: int, thumbnail: int = 0) -> bytes:
    """A start, a comment-like segment of some size, and a progressive frame header."""
    extra = b"\xff\xe1" + struct.pack(">H", thumbnail + 2) + b"\xff\xc0" * (thumbnail // 2)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x01\x11\x00" * 3
    return b"\xff\xd8" + extra + frame


def _webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + struct.pack("<I", len(rest)) + rest


def _url(body: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(body).decode()}"


@pytest.mark.parametrize(
    "body",
    [
        _png(640, 480),
        _jpeg(640, 480),
        _jpeg(640, 480, 60_000),
        b"GIF89a" + struct.pack("<HH", 640, 480) + b"\0" * 10,
        _webp(b"VP8X", b"\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
        _webp(b"VP8L", b"\x2f" + (639 | 479 << 14).to_bytes(4, "little") + b"\0" * 9),
        _webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480)),
    ],
)
def test_the_size_is_read_from_the_header(body: bytes) -> None:
    """Providers bill by pixels, and the pixels stand in the first bytes."""
    assert size_of(_url(body)) == (640, 480)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://a.example/b.png",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png,plain",
        _url(_png(0, 0)),
        _url(b"\xff\xd8\xff"),
        _url(b"RIFF"),
        _url(b"BM" + b"\0" * 60),
    ],
)
def test_an_unreadable_image_has_the_usual_size(url: str) -> None:
    """A broken or distant image must not stop an estimate."""
    assert size_of(url) == UNKNOWN_SIZE


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("openai/gpt-4o", (1024, 1024), "high", 765),
        ("openai/gpt-4o", (2048, 4096), "high", 1105),
        ("openai/gpt-4o", (4096, 8192), "low", 85),
        ("openai/gpt-4o", (512, 512), "auto", 255),
        ("openai/gpt-4o-mini", (512, 512), None, 8500),
        ("openai/o1", (1024, 1024), None, 675),
        ("openai/gpt-5", (1024, 1024), None, 630),
        ("openai/gpt-4.1-mini-2025-04-14", (1024, 1024), None, 1659),
        ("openai/o4-mini", (1800, 2400), None, 2498),
        ("openai/gpt-4.1-nano", (10, 10), None, 3),
        ("anthropic/claude-sonnet-4-5", (200, 200), None, 54),
        ("anthropic/claude-sonnet-4-5", (1000, 1000), None, 1334),
        ("anthropic/claude-sonnet-4-5", (8000, 8000), None, 1600),
        ("gemini/gemini-2.5-flash", (384, 384), None, 258),
        ("gemini/gemini-2.5-flash", (960, 540), None, 1548),
    ],
)
def test_an_image_is_counted_by_the_providers_rule(
    model: str, size: tuple[int, int], detail: str | None, tokens: int
) -> None:
    """Sizes and results of the providers' own documents; images are most of such a bill."""
    part = {"type": "image_url", "image_url": {"url": _url(_png(*size)), "detail": detail}}
    assert image_tokens(part, model) == tokens
