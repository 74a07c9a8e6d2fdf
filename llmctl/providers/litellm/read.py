"""What litellm's objects and the providers' raw JSON behind them say, as ours. Never imports litellm.

litellm fills gaps with inventions (a finish reason, a usage of zeros), so the raw JSON is asked first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmctl.core.model import Usage
from llmctl.providers.usage import from_anthropic, from_gemini, from_openai

NO_USAGE = Usage(estimated=True)
"""Stands for a usage that is missing or cannot be true: the tokens are counted elsewhere."""

_INNER = (
    "text",
    "content",
    "parts",
    "message",
    "delta",
    "content_block",
    "choices",
    "candidates",
    "response",
)
"""Where providers keep the text, and what it lies in."""
_FINISH = ("finish_reason", "stop_reason", "finishReason", "done_reason")


def _layers(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """An answer or event, and the objects inside it where providers keep finish reason and usage."""
    yield raw
    for name in ("delta", "message", "response"):
        if isinstance(raw.get(name), Mapping):
            yield raw[name]
    for name in ("choices", "candidates"):
        if isinstance(raw.get(name), list):
            yield from (each for each in raw[name] if isinstance(each, Mapping))


def finish_of(raw: Mapping[str, Any]) -> str | None:
    """The provider's own finish reason, in its own word; None where it gave none."""
    for layer in _layers(raw):
        for name in _FINISH:
            if isinstance(layer.get(name), str) and layer[name]:
                return str(layer[name])
    feedback = raw.get("promptFeedback")
    if isinstance(feedback, Mapping) and feedback.get("blockReason"):
        return "SAFETY"
    return "stop" if raw.get("done") is True else None  # Ollama of old, which gave no reason


def speaks(raw: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether an answer or event holds a text of the model's, be it empty, as against none at all."""
    if raw.get("thought"):  # Gemini's reasoning
        return False
    found = [each for each in (raw.get(name) for name in _INNER) if each is not None]
    if any(isinstance(each, str) for each in found):
        return True
    parts = (part for each in found for part in (each if isinstance(each, list) else [each]))
    return depth < 5 and any(isinstance(part, Mapping) and speaks(part, depth + 1) for part in parts)


def usages_of(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The usage objects of an answer or event."""
    for layer in _layers(raw):
        for name in ("usage", "usageMetadata"):
            if isinstance(layer.get(name), Mapping) and layer[name]:
                yield layer[name]
    if "prompt_eval_count" in raw or "eval_count" in raw:
        yield {"prompt_tokens": raw.get("prompt_eval_count"), "completion_tokens": raw.get("eval_count")}


def usage_of(parts: Sequence[Mapping[str, Any]]) -> Usage:
    """The usage told by a whole answer or by the events of a stream, oldest first; else NO_USAGE."""
    if not parts:
        return NO_USAGE
    last = parts[-1]
    if isinstance(last.get("tokens"), Mapping):  # Cohere
        return from_anthropic(last["tokens"]) or NO_USAGE
    if "prompt_tokens" in last or "completion_tokens" in last:
        return from_openai(last) or NO_USAGE
    if any("promptTokenCount" in part for part in parts):
        return from_gemini({key: value for part in parts for key, value in part.items()}) or NO_USAGE
    return from_anthropic(*parts) or NO_USAGE


def service_of(parts: Sequence[Mapping[str, Any]]) -> object:
    """The service tier that an answer's usage names (Anthropic, Google); None where it names none."""
    return next(
        (part[name] for part in parts for name in ("service_tier", "trafficType") if part.get(name)), None
    )


def tells(usage: Any) -> bool:
    """Whether litellm's Usage object holds any count: zeros are its invention."""
    return any(getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))


def usage_of_litellm(usage: Any) -> Usage:
    """litellm's own Usage object, for the calls where nothing of the raw answer is to be had."""
    if usage is None:
        return NO_USAGE
    given = getattr(usage, "prompt_tokens_details", None)
    made = getattr(usage, "completion_tokens_details", None)
    told = {
        "prompt_tokens": getattr(usage, "prompt_tokens", None),
        "completion_tokens": getattr(usage, "completion_tokens", None),
        "prompt_tokens_details": {
            "cached_tokens": getattr(given, "cached_tokens", None),
            "cache_write_tokens": getattr(given, "cache_creation_tokens", None),
        },
        "completion_tokens_details": {"reasoning_tokens": getattr(made, "reasoning_tokens", None)},
    }
    return from_openai(told) or NO_USAGE


def tool_call(call: Any) -> dict[str, Any]:
    """A tool call of litellm's in OpenAI's form."""
    function = call.function
    return {
        "id": call.id or "",
        "type": "function",
        "function": {"name": function.name or "", "arguments": function.arguments or ""},
    }


class Pieces:
    """Puts the pieces of a stream together: texts, reasoning, tool calls."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self._tools: dict[int, dict[str, Any]] = {}

    def add(self, delta: Any) -> str:
        """Take in a delta of litellm's; the new text."""
        thought = getattr(delta, "reasoning_content", None)
        if thought:
            self.reasoning.append(thought)
        for call in getattr(delta, "tool_calls", None) or ():
            self._tool(call)
        return self.text(getattr(delta, "content", None) or "")

    def text(self, text: str) -> str:
        if text:
            self.texts.append(text)
        return text

    def _tool(self, call: Any) -> None:
        part = tool_call(call)
        whole = self._tools.setdefault(call.index or 0, {"id": "", "type": "function", "function": {}})
        whole["id"] = whole["id"] or part["id"]
        for name, value in part["function"].items():
            whole["function"][name] = whole["function"].get(name, "") + value

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self._tools[index] for index in sorted(self._tools))
