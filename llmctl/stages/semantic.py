"""Serves the stored answer of a prompt that asks nearly the same; off unless the profile says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from llmctl.core.canonical import canonical, digest, fingerprint, identity
from llmctl.core.loop import loop
from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.ports import Cache
from llmctl.core.profile import SemanticRule
from llmctl.stages.cache import KEPT, SHADOW, hit

if TYPE_CHECKING:
    from asyncio import Future


class Near(Protocol):
    """What this stage needs to know of prompts; a question is what `question` gave."""

    def question(self, scope: str, text: str) -> Any: ...

    def knows(self, question: Any) -> bool:
        """Whether there is anything to compare the question with."""
        ...

    def find(self, question: Any) -> Iterator[tuple[str, float]]:
        """(fingerprint, cosine) of the stored prompts whose answer will do, the nearest first."""
        ...

    def add(self, question: Any, key: str) -> None: ...

    def forget(self, question: Any, key: str) -> None: ...


def semantic(
    next: Send, store: Cache | None, near: Near | None, rule: SemanticRule, keep: Callable[[Response], bool]
) -> Send:
    """`near` None: the profile does not want it. `keep` as for the cache.

    Only the last user text may differ: model, address, system text, what was said before, parameters and
    schema must be the same. With `mode: shadow` what would have been served is only told.
    """
    if near is None or store is None:
        return next

    async def send(request: Request) -> Response:
        found = None if request.cache == "off" else asked(request)
        if found is None:
            return await next(request)
        question = near.question(*found)
        encoding = await _elsewhere(question.encode)
        told: tuple[str, ...] = ()
        if request.cache == "use" and near.knows(question):
            await encoding
            stored, cosine = _stored(near, store, question)
            if stored is not None and rule.mode == "serve":
                if request.on_text is not None:
                    request.on_text(stored.text)
                return replace(hit(stored), cached="semantic")
            if stored is not None:
                told = (f"{SHADOW} (cosine {cosine:.3f})",)
        response = await next(request)
        if response.cached is None and response.finish_reason in KEPT and response.text and keep(response):
            await encoding
            near.add(question, fingerprint(request))
        return replace(response, warnings=(*response.warnings, *told)) if told else response

    return send


async def _elsewhere(work: Callable[[], None]) -> Future[None]:
    """The work begun in a thread: the first text takes a second to encode, in which the model may answer."""
    await loop()
    import asyncio

    return asyncio.get_running_loop().run_in_executor(None, work)


def _stored(near: Near, store: Cache, question: Any) -> tuple[Response | None, float]:
    """The answer of the nearest prompt that still has one, and its cosine."""
    for key, cosine in near.find(question):
        if (stored := store.get(key)) is not None:
            return stored, cosine
        near.forget(question, key)
    return None, 0.0


def asked(request: Request) -> tuple[str, str] | None:
    """(scope, text): the last user text, and a hash of all else; None where no text comes last."""
    if not request.messages:
        return None
    *before, last = request.messages
    text = last.get("content")
    if last.get("role") != "user" or not isinstance(text, str) or not text.strip():
        return None
    return digest(canonical({**identity(request), "messages": before})), text
