"""Files that join a prompt: texts fenced and named, images as parts that a seeing model takes."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.core.errors import ConfigError
from llmctl.core.model import Message

MAX_TEXT_BYTES = 5_000_000
MAX_IMAGE_BYTES = 20_000_000
"""What the large providers take for one image."""
MAX_FILES = 50
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
FENCES = re.compile(r"`{3,}")
KINDS = {
    ".pdf": "a PDF: give its text, for example by pdftotext",
    ".docx": "a Word document: save it as text or Markdown",
    ".xlsx": "a spreadsheet: save it as CSV",
    ".pptx": "a presentation: save it as text",
    ".zip": "an archive: unpack it",
    ".gz": "compressed: unpack it",
}
LANGUAGES = {
    "py": "python", "js": "javascript", "ts": "typescript", "rs": "rust", "rb": "ruby", "sh": "bash",
    "yml": "yaml", "md": "markdown", "htm": "html", "h": "c", "cc": "cpp", "kt": "kotlin", "txt": "",
}  # fmt: skip


class AttachmentError(ConfigError):
    """A file cannot be attached: the message names it and says why."""

    type = "attachment"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file: its name and either its text or its image, with the image's media type."""

    name: str
    text: str | None = None
    image: bytes | None = None
    media: str = ""

    def part(self) -> dict[str, Any]:
        """The file as a part of a message in OpenAI's format."""
        if self.image is None:
            return {"type": "text", "text": self.block()}
        url = f"data:{self.media};base64,{b64encode(self.image).decode('ascii')}"
        return {"type": "image_url", "image_url": {"url": url}}

    def block(self) -> str:
        """The text between fences longer than any inside it, under the file's name."""
        assert self.text is not None
        longest = max((len(run) for run in FENCES.findall(self.text)), default=2)
        fence = "`" * max(longest + 1, 3)
        ending = Path(self.name).suffix[1:].lower()
        language = LANGUAGES.get(ending, ending if ending.isalnum() else "")
        newline = "" if self.text.endswith("\n") else "\n"
        return f"File {self.name}:\n{fence}{language}\n{self.text}{newline}{fence}"


def read(path: Path, name: str | None = None) -> Attachment:
    """The file, judged by its content, not its ending. AttachmentError (exit 3) where it is no use."""
    name = name or path.name
    data = _data(path)
    media = image_type(data)
    if media:
        return Attachment(name, image=data, media=media)
    if not data:
        raise AttachmentError(f"{path}: is empty", hint="leave it out")
    if len(data) > MAX_TEXT_BYTES:
        raise AttachmentError(
            f"{path}: a text larger than {MAX_TEXT_BYTES:,} bytes", hint="send a part of it"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text or data.startswith(b"%PDF-") or CONTROLS.search(data):
        raise AttachmentError(
            f"{path}: {_refusal(path)}", hint="text files and png, jpeg, gif, webp images join"
        )
    return Attachment(name, text=text.replace("\r\n", "\n"))


def _data(path: Path) -> bytes:
    try:
        if not path.is_file():
            # A pipe or a device may never end.
            raise AttachmentError(f"{path}: not a file", hint="check the path")
        with path.open("rb") as file:
            data = file.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise AttachmentError(f"{path}: cannot be read: {error.strerror}", hint="check the path") from None
    if len(data) > MAX_IMAGE_BYTES:
        raise AttachmentError(f"{path}: larger than {MAX_IMAGE_BYTES:,} bytes", hint="make it smaller")
    return data


def image_type(data: bytes) -> str | None:
    """The media type of an image, by its first bytes; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _refusal(path: Path) -> str:
    return KINDS.get(path.suffix.lower(), "neither text in UTF-8 nor an image that models take")


def attach(messages: Sequence[Message], files: Sequence[Attachment]) -> tuple[Message, ...]:
    """The messages with the files before the last user turn's text.

    Texts alone keep the content a text. AttachmentError for more than MAX_FILES.
    """
    if not files:
        return tuple(messages)
    if len(files) > MAX_FILES:
        raise AttachmentError(f"{len(files)} files are too many", hint=f"at most {MAX_FILES}")
    images = any(file.image is not None for file in files)
    last = next((n for n in range(len(messages) - 1, -1, -1) if messages[n].get("role") == "user"), None)
    turn: Message = {"role": "user", "content": ""} if last is None else messages[last]
    joined = {**turn, "content": _content(turn.get("content") or "", files, images)}
    if last is None:
        return (*messages, joined)
    return (*messages[:last], joined, *messages[last + 1 :])


def _content(content: Any, files: Sequence[Attachment], images: bool) -> Any:
    if isinstance(content, str) and not images:
        return "\n\n".join(filter(None, [*(file.block() for file in files), content]))
    own = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*(file.part() for file in files), *(part for part in own if part.get("text") != "")]
