"""Judges every answer, also one that comes from the cache, before anyone sees it."""

from __future__ import annotations

from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.profile import PrivacyRule


def check(next: Send, rule: PrivacyRule) -> Send:
    """Warns of, masks or blocks unsafe answers; `next` itself with `answers: off`.

    With `mask` and `block` a streamed text is held back until it is judged, and then shown at once.
    Raises UnsafeAnswer with `block`.
    """
    if rule.answers == "off":
        return next
    from llmctl.privacy.answers import judge

    if rule.answers == "warn":

        async def warn(request: Request) -> Response:
            return judge(await next(request), rule)

        return warn

    async def hold(request: Request) -> Response:
        show = request.on_text
        # Still streamed from the provider: its first-token and idle time limits keep their meaning.
        response = await next(replace(request, on_text=_keep_quiet) if show else request)
        judged = judge(response, rule)
        if show and judged.text:
            show(judged.text)
        return judged

    return hold


def _keep_quiet(chunk: str) -> None:
    """Takes a piece of text that is not to be shown yet."""
