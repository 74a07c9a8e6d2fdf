"""Serves an answer that was paid for before, and keeps those worth keeping."""

from __future__ import annotations

from collections.abc import Callable

from llmctl.core.canonical import fingerprint
from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.ports import Cache

KEPT = frozenset({"stop", "tool_calls", "function_call", "end_turn", "stop_sequence"})
"""Finish reasons of whole answers; a truncated, refused or unknown end is never stored."""

SHADOW = "a stored answer to a nearly equal prompt was at hand"
"""How the semantic cache begins to tell what it would have served."""


def cache(next: Send, store: Cache | None, keep: Callable[[Response], bool]) -> Send:
    """`store` None: no cache. `keep` is the profile's own say on what is stored."""
    if store is None:
        return next

    async def send(request: Request) -> Response:
        if request.cache == "off":
            return await next(request)
        key = fingerprint(request)
        if request.cache == "use":
            found = store.get(key)
            if found is not None:
                if request.on_text is not None:
                    request.on_text(found.text)
                return hit(found)
        response = await next(request)
        if response.cached is None and response.finish_reason in KEPT and response.text and keep(response):
            store.set(key, own(response), request)
        return response

    return send


def own(response: Response) -> Response:
    """The answer without what was said of the occasion."""
    if not response.warnings:
        return response
    kept = tuple(warning for warning in response.warnings if not warning.startswith(SHADOW))
    return replace(response, warnings=kept)


def hit(found: Response) -> Response:
    """The stored answer as a free one: what it had cost is now saved."""
    return replace(found, cached="exact", cost=0, saved=found.cost, tried=(), ttft=None, headers={})
