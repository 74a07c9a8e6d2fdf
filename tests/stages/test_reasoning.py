"""The stage `reasoning`: thoughts apart from the answer, asked for or not."""

from __future__ import annotations

import pytest

from llmctl.core.loop import run
from llmctl.core.model import Request, Response, Send, Target
from llmctl.stages.reasoning import reasoning

ASKED = Request(target=Target("t", "p/m", "p"), messages=({"role": "user", "content": "Why?"},))


def model(text: str, size: int) -> Send:
    """A Send that streams the text in pieces of `size` characters where somebody listens."""

    async def send(request: Request) -> Response:
        if request.on_text is not None:
            for start in range(0, len(text), size):
                request.on_text(text[start : start + size])
        return Response(text=text, model="m")

    return send


def ask(text: str, size: int = 1, cot: bool = False) -> tuple[str, Response]:
    """What a listener heard, and the response."""
    from dataclasses import replace

    heard: list[str] = []
    request = replace(ASKED, on_text=heard.append, cot=cot)
    response = run(reasoning(model(text, size))(request))
    return "".join(heard), response


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("plain", None, "plain"),
        ("\n\n  plain\n", None, "\n\n  plain\n"),
        ("", None, ""),
        ("  ", None, "  "),
        ("<", None, "<"),
        ("<b>bold</b>\n", None, "<b>bold</b>\n"),
        ("<a_very_long_tag_indeed", None, "<a_very_long_tag_indeed"),
        ("<html></think>\n", None, "<html></think>\n"),
        ("<think>hm</think>\n\n42", "hm", "42"),
        ("\n<THINKING>hm</THINKING> 42", "hm", "42"),
        ("<think>hm</think>Final answer: 42", "hm", "Final answer: 42"),
        ("<think>never ends", "never ends", ""),
    ],
)
def test_thoughts_nobody_asked_for_stand_apart(
    text: str, thoughts: str | None, answer: str, size: int
) -> None:
    """A script that pipes the answer on must not pipe the thoughts; other answers stay to the byte."""
    heard, response = ask(text, size)
    assert (heard, response.text, response.reasoning) == (answer, answer, thoughts)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_asked_for_steps_end_at_the_marker(size: int) -> None:
    """`--cot` asks for the marker; only then it has a meaning."""
    heard, response = ask("One.\nTwo.\nFinal answer:\n42", size, cot=True)
    assert (heard, response.text, response.reasoning) == ("42", "42", "One.\nTwo.")


def test_a_plain_answer_streams_as_it_comes() -> None:
    """Nothing is held back where no tag opens the text."""
    heard: list[str] = []

    async def send(request: Request) -> Response:
        assert request.on_text is not None
        request.on_text("one ")
        assert heard == ["one "]
        return Response(text="one ", model="m")

    from dataclasses import replace

    run(reasoning(send)(replace(ASKED, on_text=heard.append)))
