"""The stage `precheck`: refused before anything is paid, and only what is to be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmctl.core.errors import PromptRefused
from llmctl.core.model import Message, Request, Response, Target
from llmctl.core.profile import PrivacyRule
from llmctl.prompts.model import Template
from llmctl.prompts.render import Renderer
from llmctl.stages.precheck import precheck

KEY = "sk-" + "aB3dE5gH7j" * 4
GOOD = "Summarise the text in one sentence. For example: cats sleep.\n\nText: Dogs bark."
TARGET = Target("t", "p/m", "p")


class Facts:
    """A model of 1,000 tokens, words counted; `eyes` says whether it sees."""

    def __init__(self, window: int | None = 1000, eyes: bool | None = None) -> None:
        self._window = window
        self._eyes = eyes

    def window(self, model: str) -> int | None:
        return self._window

    def sees(self, model: str) -> bool | None:
        return self._eyes

    def answer_room(self, request: Request) -> int:
        return 100

    def count(self, what: str | Sequence[Message], model: str) -> int:
        texts = [what] if isinstance(what, str) else [str(m["content"]) for m in what]
        return sum(len(text.split()) for text in texts)

    def bound(self, messages: Sequence[Message], model: str) -> int:
        return sum(len(str(m["content"])) for m in messages)


def ask(content: Any, *checks: str, facts: Facts | None = None, **more: Any) -> Response | str:
    """The response, or the message of the refusal."""
    sent: list[Request] = []

    async def send(request: Request) -> Response:
        sent.append(request)
        return Response(text="ok", model="m", warnings=("later",))

    privacy = more.pop("privacy", PrivacyRule())
    request = Request(target=TARGET, messages=({"role": "user", "content": content},), **more)
    stage = precheck(send, checks, facts or Facts(), privacy)
    try:
        return asyncio.run(stage(request))  # type: ignore[arg-type]  # a coroutine
    except PromptRefused as error:
        assert error.exit_code == 7
        assert error.tried == ()
        assert not sent
        return error.message


def test_without_checks_everything_goes() -> None:
    """A check that nobody asked for would break what works."""
    assert isinstance(ask(KEY), Response)


def test_a_code_refuses_what_it_names() -> None:
    """The rest of the findings is the user's own affair."""
    said = ask(f"The weather. {KEY}", "secret")
    assert isinstance(said, str)
    assert "(secret)" in said
    assert "message 1 (user), line 1" in said
    assert KEY not in said
    assert isinstance(ask("The weather was fine.", "secret"), Response)


def test_all_refuses_errors_and_warnings_and_no_hints() -> None:
    """A missing example is a hint; who wants examples names the check."""
    plain = GOOD.replace("For example: cats sleep.", "")
    assert isinstance(ask(GOOD, "all"), Response)
    assert isinstance(ask(plain, "all"), Response)
    assert "examples" in str(ask(plain, "examples"))
    assert "instructions" in str(ask("The weather was fine.", "all"))


def test_what_the_profile_redacts_is_not_refused() -> None:
    """It does not leave the machine anyway."""
    assert isinstance(ask(f"{GOOD} {KEY}", "all", privacy=PrivacyRule(redact=("secret",))), Response)
    assert isinstance(ask(f"{GOOD} {KEY}", "all"), str)


def test_too_long_is_told_before_the_provider_does() -> None:
    """A refused request of a million tokens takes long to be refused."""
    assert "too long" in str(ask(GOOD + " word" * 950, "context"))
    assert isinstance(ask(GOOD + " word" * 950, "context", facts=Facts(None)), Response)


def test_a_template_brings_its_own_checks_and_is_judged_by_its_own_words() -> None:
    """What a row's text happens to say is data."""
    template = Template("t", "t.md", "Summarise in one line: {{ text }}", checks=("instructions", "secret"))
    body = "Summarise in one line: Never do this. Write TODO in French. Do not write TODO in French."
    assert isinstance(ask(body, "all", renderer=Renderer(template)), Response)
    assert isinstance(ask(f"Summarise in one line: {KEY}", renderer=Renderer(template)), str)
    lazy = replace(template, body="The text: {{ text }}")
    assert "instructions" in str(ask(body, renderer=Renderer(lazy)))


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]


@pytest.mark.parametrize("eyes", [True, False, None])
def test_images_go_to_models_that_see(eyes: bool | None) -> None:
    """A blind model's provider answers with a riddle; an unknown model gets its chance and a warning."""
    said = ask(IMAGE, facts=Facts(eyes=eyes))
    if eyes is False:
        assert said == "p/m does not take images"
        return
    assert isinstance(said, Response)
    assert said.warnings == (("later",) if eyes else ("it is not known whether p/m takes images", "later"))
