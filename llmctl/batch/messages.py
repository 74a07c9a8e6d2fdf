"""Chat messages of a row, looked at before anything is paid for them."""

from __future__ import annotations

from typing import Any, NoReturn

from llmctl.batch.strict import Wrong, kind
from llmctl.core.model import Message

Messages = tuple[Message, ...]
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
SILENT = ("tool_calls", "function_call", "refusal", "audio")
"""What an assistant's message may hold in place of a content."""


def checked(messages: Any) -> Messages:
    """The messages unchanged; Wrong names the first that no chat endpoint would take."""
    if messages.__class__ is not list or not messages:
        what = "must not be empty" if messages == [] else f"must be a list, not {kind(messages)}"
        raise Wrong(f"'messages' {what}", 'for example [{"role": "user", "content": "…"}]')
    spoken = False
    for position, message in enumerate(messages):
        if message.__class__ is not dict:
            _fail(position, f"must be a map, not {kind(message)}", '{"role": "user", "content": "…"}')
        role = message.get("role")
        if role.__class__ is not str or role not in ROLES:
            problem = f"unknown role {role[:40]!r}" if isinstance(role, str) else "no 'role'"
            _fail(position, problem, f"one of {', '.join(sorted(ROLES))}")
        content = message.get("content")
        if content.__class__ is str:
            spoken = spoken or not (not content or content.isspace())
        elif content.__class__ is list:
            spoken = _parts(position, content) or spoken
        elif content is not None:
            _fail(position, f"'content' must be a text or a list of parts, not {kind(content)}", "")
        elif role != "assistant" or not any(message.get(name) for name in SILENT):
            _fail(position, "no 'content'", 'write "content": "…"')
    if not spoken:
        raise Wrong("the messages are empty", "write a content")
    return tuple(messages)


def _parts(position: int, parts: list[Any]) -> bool:
    """Whether the parts say anything. A part that is not text is the provider's to judge."""
    spoken = False
    for part in parts:
        if part.__class__ is not dict or not isinstance(part.get("type"), str):
            _fail(position, "a part of 'content' has no 'type'", '{"type": "text", "text": "…"}')
        text = part.get("text")
        if part["type"] != "text":
            spoken = True
        elif not isinstance(text, str):
            _fail(position, "a part of type text has no 'text'", '{"type": "text", "text": "…"}')
        else:
            spoken = spoken or bool(text.strip())
    return spoken


def _fail(position: int, problem: str, hint: str) -> NoReturn:
    raise Wrong(f"messages[{position}]: {problem}", hint)
