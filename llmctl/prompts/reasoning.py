"""Chain of thought: asking for steps, and telling the answer from the reasoning."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmctl.core.model import Message, Response

MARKER = "Final answer:"
STEPS = ("the topics", "readability", "sentiment", "consistency", "the overall picture")
TAGS = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad"
OPEN = re.compile(rf"\s*<({TAGS})>", re.IGNORECASE)
CLOSE = re.compile(rf"</({TAGS})>", re.IGNORECASE)
ORPHAN = re.compile(rf"^[ \t]*</({TAGS})>|</({TAGS})>[ \t]*$", re.IGNORECASE | re.MULTILINE)
ANSWER = re.compile(
    r"^[ \t]{0,8}(?:#{1,6}[ \t]{1,4})?(?P<bold>\*\*|__)?(?:(?:my|the)[ \t])?final[ \t]answer(?:[ \t]is)?"
    r"[ \t]{0,4}(?::[ \t]{0,4}(?P<after>\*\*|__)?|(?P<closed>\*\*|__)[ \t]{0,4}:?|$)|^[ \t]{0,8}<answer>",
    re.IGNORECASE | re.MULTILINE,
)
"""Spaces are counted, so that a long run of them is not tried in every way."""
NEARBY = re.compile(rf"</?(?:{TAGS}|answer)>|answer", re.IGNORECASE)
NEAR = 80
HOLD = 16
"""Characters kept back at the end of a streamed answer: they may be the start of its closing tag."""


def instruction(steps: Sequence[str] = STEPS) -> str:
    """What a prompt is told so that it thinks first; short, for small models too."""
    listed = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return (
        f"Think step by step before you answer. Where they apply, go through these steps:\n{listed}\n"
        f'Then write "{MARKER}" on a line of its own, and below it the answer alone.'
    )


def instruct(messages: Sequence[Message], steps: Sequence[str] = STEPS) -> tuple[Message, ...]:
    """The messages with the instruction at the end of the last user turn."""
    told = list(messages)
    for number in range(len(told) - 1, -1, -1):
        if told[number].get("role") == "user":
            told[number] = append_text(told[number], instruction(steps))
            return tuple(told)
    return (*told, {"role": "user", "content": instruction(steps)})


def append_text(message: Message, text: str) -> Message:
    """The message with a paragraph more, be its content a text or a list of parts."""
    content = message.get("content")
    if isinstance(content, list | tuple):
        return {**message, "content": [*content, {"type": "text", "text": text}]}
    return {**message, "content": f"{content or ''}\n\n{text}".lstrip("\n")}


def split(text: str, *, marked: bool = True) -> tuple[str | None, str]:
    """(reasoning, answer) of a model's text; the reasoning is None where there is none.

    Knows `<think>…</think>` and its kin at the start (also cut off, or without the opening tag) and, with
    `marked`, the first line that opens with "Final answer", in any of its usual dresses, or `<answer>`.
    """
    thoughts, rest = _tagged(text)
    if marked and (found := ANSWER.search(rest)):
        thoughts.append(rest[: found.start()])
        rest = _unclosed(rest[found.end() :], found)
    reasoning = "\n\n".join(stripped for thought in thoughts if (stripped := thought.strip()))
    return (reasoning or None), rest.strip()


def _tagged(text: str) -> tuple[list[str], str]:
    """The thoughts in tags at the start of a text, and what follows them."""
    thoughts: list[str] = []
    while opened := OPEN.match(text):
        closed = CLOSE.search(text, opened.end())
        if closed is None:
            return [*thoughts, text[opened.end() :]], ""
        thoughts.append(text[opened.end() : closed.start()])
        text = text[closed.end() :]
    if not thoughts and (orphan := ORPHAN.search(text)):
        return [text[: orphan.start()]], text[orphan.end() :]
    return thoughts, text


def _unclosed(answer: str, found: re.Match[str]) -> str:
    """The answer without what closes its marker: `</answer>`, or the bold that began before it."""
    answer = answer.strip()
    if answer.lower().endswith("</answer>"):
        return answer[: -len("</answer>")]
    bold = found["bold"]
    if bold and not found["after"] and not found["closed"]:
        return answer.removesuffix(bold)
    return answer


def apart(response: Response, *, marked: bool = True) -> Response:
    """The response with answer and reasoning told apart; what the provider sent as reasoning comes first."""
    reasoning, answer = split(response.text, marked=marked)
    if reasoning is None and answer == response.text:
        return response
    both = "\n\n".join(part for part in (response.reasoning, reasoning) if part)
    return replace(response, text=answer, reasoning=both or None)


class Withhold:
    """A listener of a stream that passes on the answer alone.

    With `marked` nothing is passed on before the marker has come; where none comes, `finish` passes on
    the whole text. What was passed on is the answer that `split` gives of the whole text, but where a
    thought ends that nothing opened: what was passed on by then cannot be taken back.
    """

    def __init__(self, on_text: Callable[[str], None], *, marked: bool = True) -> None:
        self.on_text = on_text
        self.marked = marked
        self.text = ""
        self.sent = ""
        self.start: int | None = None

    def __call__(self, piece: str) -> None:
        self.text += piece
        if self.start is None and self._due(len(piece)):
            self.start = _start(self.text, self.marked)
        if self.start is not None:
            # White space and what may close the answer wait until it is known that more follows.
            self._pass_on(self.text[self.start : -HOLD].rstrip())

    def finish(self) -> None:
        """The stream is over: passes on what was kept back."""
        self._pass_on(split(self.text, marked=self.marked)[1])

    def _due(self, grown: int) -> bool:
        """Whether an answer may start near the end: spares a search of the whole text for every piece."""
        return len(self.text) < NEAR or bool(NEARBY.search(self.text, len(self.text) - NEAR - grown))

    def _pass_on(self, answer: str) -> None:
        if len(answer) > len(self.sent) and answer.startswith(self.sent):
            self.on_text(answer[len(self.sent) :])
            self.sent = answer


def _start(text: str, marked: bool) -> int | None:
    """Where the answer starts, or None where that cannot be known yet."""
    at = 0
    while opened := OPEN.match(text, at):
        closed = CLOSE.search(text, opened.end())
        if closed is None:
            return None
        at = closed.end()
    if marked:
        found = ANSWER.search(text, at)
        if found is None:
            return None
        at = found.end()
    rest = text[at:].lstrip()
    if not rest.strip("*_: \t\n") or any(f"<{tag}>".startswith(rest.lower()) for tag in TAGS.split("|")):
        return None
    return len(text) - len(rest)
