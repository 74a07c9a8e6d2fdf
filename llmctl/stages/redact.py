"""Outermost: nothing below this stage sees what the profile keeps from leaving."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from llmctl.core.errors import LlmctlError
from llmctl.core.model import OnText, Request, Response, Send, replace
from llmctl.core.profile import PrivacyRule

if TYPE_CHECKING:
    from llmctl.privacy.redact import Redactor, StreamRestorer


def redact(next: Send, rule: PrivacyRule) -> Send:
    """Placeholders on the way down, the values on the way up, in streamed text too.

    Gives `next` itself back where the rule neither redacts nor limits. Raises RequestRefused for a text
    over the limit with `over_max: refuse`; ConfigError where a pattern of the rule does not work.
    """
    if not rule.redacts and rule.limit is None:
        return next
    from llmctl.privacy.detect import detector
    from llmctl.privacy.redact import Redactor, StreamRestorer, is_spotless

    limit = rule.limit
    find = detector(rule).find

    def send(request: Request) -> Awaitable[Response]:
        return next(request) if is_spotless(request, find, limit) else careful(request)

    async def careful(request: Request) -> Response:
        redactor = Redactor(rule)
        down = redacted(request, redactor)
        stream = None
        if request.on_text is not None:
            stream = StreamRestorer(redactor, inside_json=asks_json(request))
            down = replace(down, on_text=_listener(stream, request.on_text))
        try:
            response = await next(down)
        except LlmctlError as error:
            if error.response is not None:
                error.response = restored(error.response, redactor, asks_json(request))
            raise
        finally:
            if stream is not None and request.on_text is not None and (rest := stream.flush()):
                request.on_text(rest)
        up = restored(response, redactor, asks_json(request))
        return replace(up, warnings=(*redactor.warnings, *up.warnings)) if redactor.warnings else up

    return send


def redacted(request: Request, redactor: Redactor) -> Request:
    """The request as it may leave: messages, texts among the parameters, and the schema's texts."""
    down = replace(
        request,
        messages=redactor.redact_messages(request.messages),
        params=redactor.redact_params(request.params),
        schema=redactor.redact_schema(request.schema) if request.schema is not None else None,
    )
    if not request.fingerprint or (down.messages, down.params, down.schema) == (
        request.messages, request.params, request.schema,
    ):  # fmt: skip
        return down
    return replace(down, fingerprint="")  # what leaves is another question than what was asked


def restored(response: Response, redactor: Redactor, is_json: bool = False) -> Response:
    """The answer with the values in their places, in every part that a caller reads.

    `is_json` says that the text is JSON: values are then escaped as JSON wants it.
    """
    if not redactor.found:
        return response
    from llmctl.privacy.rewrite import map_strings

    def plain(text: str) -> str:
        return redactor.restore(text, inside_json=is_json)

    def inside_json(text: str) -> str:
        return redactor.restore(text, inside_json=True)

    return replace(
        response,
        text=plain(response.text),
        reasoning=redactor.restore(response.reasoning) if response.reasoning else response.reasoning,
        tool_calls=map_strings(response.tool_calls, redactor.restore, inside_json),
        parsed=map_strings(response.parsed, redactor.restore, redactor.restore),
        body=map_strings(response.body, plain, inside_json),
        redactor=redactor,
    )


def _listener(stream: StreamRestorer, show: OnText) -> OnText:
    def on_text(chunk: str) -> None:
        if text := stream.feed(chunk):
            show(text)

    return on_text


def asks_json(request: Request) -> bool:
    """Whether the answer's text is JSON, in which values stand escaped."""
    form = request.params.get("response_format")
    return request.schema is not None or (isinstance(form, dict) and "json" in str(form.get("type")))
