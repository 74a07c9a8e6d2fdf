"""Judges every answer, also one that comes from the cache, before anyone sees it."""

from __future__ import annotations

from llmctl.core.errors import LlmctlError, UnsafeAnswer
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
        try:
            response = await next(replace(request, on_text=_keep_quiet, heard=False) if show else request)
        except LlmctlError as error:
            if error.response is not None:
                error.response = _safe(error.response, rule)
            raise
        judged = judge(response, rule)
        if show and judged.text:
            show(judged.text)
        return judged

    return hold


def _safe(response: Response, rule: PrivacyRule) -> Response:
    """What had come of an answer that failed, masked or emptied."""
    from llmctl.privacy.answers import emptied, judge

    try:
        return judge(response, rule)
    except UnsafeAnswer:
        return emptied(response)


def _keep_quiet(chunk: str) -> None:
    """Takes a piece of text that is not to be shown yet."""
