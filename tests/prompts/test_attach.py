"""Attached files: texts fenced and named, images as images, the rest refused."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from llmctl.prompts.attach import Attachment, AttachmentError, attach, image_type, read

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
ASKED = [{"role": "system", "content": "s"}, {"role": "user", "content": "What is it?"}]


def test_a_text_is_fenced_and_named(tmp_path: Path) -> None:
    """The model must see where a file begins and ends, and which it is."""
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbfprint(1)\r\n")
    messages = attach(ASKED, [read(path)])
    assert messages[0] is ASKED[0]
    assert messages[1]["content"] == "File a.py:\n```python\nprint(1)\n```\n\nWhat is it?"


def test_a_fence_inside_cannot_end_the_file() -> None:
    """A document must not be able to pose as the question that follows it."""
    block = Attachment("a.md", text="```\ncode\n```\n````").block()
    assert block == "File a.md:\n`````markdown\n```\ncode\n```\n````\n`````"


def test_an_image_becomes_a_part(tmp_path: Path) -> None:
    """Its type is read from its bytes: endings lie."""
    path = tmp_path / "photo.txt"
    path.write_bytes(PNG)
    text, image = Attachment("n.txt", text="note"), read(path)
    content = attach(ASKED, [text, image])[1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    url = content[1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    assert b64decode(url.partition(",")[2]) == PNG
    assert content[2]["text"] == "What is it?"


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"BM", None),
        (b"", None),
    ],
)
def test_images_are_known_by_their_first_bytes(data: bytes, media: str | None) -> None:
    """Only what providers take is sent as an image."""
    assert image_type(data) == media


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pdf", b"%PDF-1.7\n\x00\x01", "pdftotext"),
        ("a.bin", b"\x00\x01\x02", "neither text"),
        ("latin.txt", b"caf\xe9", "neither text"),
        ("empty.txt", b"", "is empty"),
        ("large.txt", b"a" * 5_000_001, "larger than 5,000,000"),
        ("large.png", PNG + b"a" * 20_000_000, "larger than 20,000,000"),
    ],
)
def test_what_is_of_no_use_is_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    """Binary rubbish in a prompt costs thousands of tokens."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(AttachmentError, match=message) as caught:
        read(path)
    assert caught.value.exit_code == 3


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe would be waited for without end."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        with pytest.raises(AttachmentError, match="not a file"):
            read(tmp_path / name)


def test_files_find_their_turn() -> None:
    """They join the question, also where it has parts or does not exist yet."""
    note = Attachment("n.txt", text="note")
    parts: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "assistant", "content": "a"},
    ]
    joined = attach(parts, [note])
    assert [part["text"] for part in joined[0]["content"]] == [note.block(), "q"]
    assert joined[1] == parts[1]
    assert attach([], [note]) == ({"role": "user", "content": note.block()},)
    assert attach(ASKED, []) == tuple(ASKED)
    with pytest.raises(AttachmentError, match="too many"):
        attach(ASKED, [note] * 51)
