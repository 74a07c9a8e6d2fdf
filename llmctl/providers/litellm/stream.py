"""Puts the events of a provider's stream together with litellm's reader of single events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from llmctl.core.errors import BrokenStream
from llmctl.core.model import Response, Target
from llmctl.providers import classify, halves
from llmctl.providers.litellm.read import Pieces, finish_of, service_of, speaks, usage_of, usages_of
from llmctl.providers.openai import answering, billed
from llmctl.providers.usage import served

_OWN_WORDS = {"TOOL_CALL": "tool_calls", "ERROR": "error", "model_context_window_exceeded": "length"}
"""Finish reasons that litellm takes for a plain stop."""


def finish_reason(raw: str, tools: bool) -> str:
    """A provider's own finish reason in OpenAI's words; an unknown one stays as it is.

    Some providers end tool calls with a plain stop, and litellm has others answer a schema by a tool:
    whether there are `tools` to call decides between the two.
    """
    from litellm.litellm_core_utils.core_helpers import _FINISH_REASON_MAP

    meant = str(_OWN_WORDS.get(raw) or _FINISH_REASON_MAP.get(raw) or raw.lower())
    if meant in ("stop", "tool_calls"):
        return "tool_calls" if tools else "stop"
    return meant


class LitellmStream:
    """Puts the events of one stream together, judged by what the provider itself said."""

    def __init__(self, target: Target, parse: Callable[[Any], Any], service: object = None) -> None:
        """`service` is the service tier that was asked for."""
        self.target = target
        self._service = service
        self._parse = parse
        self.pieces = Pieces()
        self.usages: list[Mapping[str, Any]] = []
        self.finish_raw: str | None = None
        self.said = False
        self.model: str | None = None

    def feed(self, data: bytes) -> str:
        try:
            event = orjson.loads(data)
        except ValueError:
            event = self._halved(data)
        if not isinstance(event, dict):
            raise self.broken("an event of the stream is no object")
        if event.get("error"):
            raise classify.from_error_object(event, self.target.model, streamed=True)
        self.usages += map(dict, usages_of(event))
        self.said = self.said or speaks(event)
        plain = _plain_text(event)
        if plain is not None:
            return self.pieces.text(plain)
        try:
            chunk = self._parse(event)
        except Exception as error:  # litellm's readers raise anything on an event that is none
            raise self.broken(f"an event is not understood ({type(error).__name__})") from error
        return self._take(event, chunk)

    def _halved(self, data: bytes) -> Any:
        """An event that holds half a sign."""
        try:
            return halves.whole(halves.loads(data))
        except ValueError:
            raise self.broken("a malformed event in the stream") from None

    def _take(self, event: Mapping[str, Any], chunk: Any) -> str:
        self.finish_raw = finish_of(event) or self.finish_raw
        if isinstance(chunk, dict):  # litellm's older form of a chunk
            return self.pieces.text(chunk.get("text") or "")
        self.model = getattr(chunk, "model", None) or self.model
        choices = getattr(chunk, "choices", None)
        return self.pieces.add(choices[0].delta) if choices else ""

    def broken(self, what: str) -> BrokenStream:
        return BrokenStream(f"{self.target.model}: {what}", billed="unknown", response=self.partial())

    def finish(self) -> Response:
        if self.finish_raw is None:
            raise self.broken("the stream broke off before its end")
        return self.partial()

    def partial(self) -> Response:
        tools, usage = self.pieces.tools, usage_of(self.usages)
        return Response(
            text="".join(self.pieces.texts),
            model=answering(self.target, self.model),
            finish_reason=finish_reason(self.finish_raw, bool(tools)) if self.finish_raw else "broken",
            usage=served(usage, service_of(self.usages), self._service),
            reasoning="".join(self.pieces.reasoning) or None,
            tool_calls=tools,
            billed=billed(usage, self.usages, said=self.said or bool(tools)),
        )


def _plain_text(event: Mapping[str, Any]) -> str | None:
    """The text of Anthropic's most frequent event, without an object of litellm's for each word."""
    delta = event.get("delta")
    if event.get("type") == "content_block_delta" and isinstance(delta, dict):
        text = delta.get("text")
        if delta.get("type") == "text_delta" and isinstance(text, str):
            return text
    return None
