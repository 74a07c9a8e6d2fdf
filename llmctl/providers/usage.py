"""The providers' own usage objects as our Usage; None where a count cannot be true.

What cannot be true (a negative or broken number, more cached than sent, a hundred million tokens)
is refused whole, so that the caller counts the tokens itself and marks the cost as estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmctl.core.model import Usage

ABSURD = 100_000_000
"""More tokens than any request of any provider can have."""

STANDARD = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})
"""What providers call their usual service tier."""

PLAIN = {"prompt_tokens", "completion_tokens", "total_tokens"}

_Object = Mapping[str, Any]


class _Untrue(Exception):
    """A count that is none."""


def from_openai(usage: object) -> Usage | None:
    """OpenAI's `usage`, and that of those who speak its format.

    Cached tokens are found under DeepSeek's and Moonshot's names too. Where `total_tokens` exceeds
    prompt and completion, the rest is reasoning that was left out of the completion (xAI, Gemini).
    """
    return _guarded(_openai, usage)


def _openai(usage: _Object) -> Usage:
    if usage.keys() == PLAIN:  # nothing but prompt and answer: no need to look for more
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if _count(usage, "total_tokens") <= prompt + completion:
            return Usage(prompt, completion)
    given = _part(usage, "prompt_tokens_details")
    made = _part(usage, "completion_tokens_details")
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    hidden = max(0, _count(usage, "total_tokens") - prompt - completion)
    cached = max(
        _count(given, "cached_tokens"),
        _count(usage, "prompt_cache_hit_tokens"),
        _count(usage, "cached_tokens"),
    )
    return Usage(
        input_tokens=prompt,
        output_tokens=completion + hidden,
        cached_tokens=cached,
        reasoning_tokens=max(hidden, _count(made, "reasoning_tokens")),
        cache_write_tokens=_count(given, "cache_write_tokens"),
        audio_input_tokens=min(_count(given, "audio_tokens"), max(0, prompt - cached)),
        audio_output_tokens=_count(made, "audio_tokens"),
    )


def from_anthropic(usage: object, *later: object) -> Usage | None:
    """Anthropic's `usage`; of a stream, the one of `message_start` and those of `message_delta`.

    Its `input_tokens` leave out what was read from and written to the cache; ours hold it. The
    deltas are totals so far, so later values replace earlier ones.
    """
    merged: dict[str, Any] = {}
    for part in (usage, *later):
        if not isinstance(part, Mapping):
            return None
        merged |= {key: value for key, value in part.items() if value is not None}
    return _guarded(_anthropic, merged)


def _anthropic(usage: _Object) -> Usage:
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    hour = _count(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens")
    if hour > written:
        raise _Untrue
    tools = _part(usage, "server_tool_use") if "server_tool_use" in usage else usage
    return Usage(
        input_tokens=_count(usage, "input_tokens") + read + written,
        output_tokens=_count(usage, "output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        reasoning_tokens=_count(_part(usage, "output_tokens_details"), "thinking_tokens"),
        searches=_count(tools, "web_search_requests"),
    )


def from_gemini(usage: object) -> Usage | None:
    """Gemini's `usageMetadata`: thoughts are apart from the candidates, cached content is in the prompt."""
    return _guarded(_gemini, usage)


def _gemini(usage: _Object) -> Usage:
    sent, cached = _modes(usage, "promptTokensDetails"), _modes(usage, "cacheTokensDetails")
    made = _modes(usage, "candidatesTokensDetails")
    thoughts = _count(usage, "thoughtsTokenCount")
    return Usage(
        input_tokens=_count(usage, "promptTokenCount") + _count(usage, "toolUsePromptTokenCount"),
        output_tokens=_count(usage, "candidatesTokenCount") + thoughts,
        cached_tokens=_count(usage, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        audio_input_tokens=max(0, sent.get("AUDIO", 0) - cached.get("AUDIO", 0)),
        cached_audio_tokens=cached.get("AUDIO", 0),
        image_input_tokens=max(0, sent.get("IMAGE", 0) - cached.get("IMAGE", 0)),
        audio_output_tokens=made.get("AUDIO", 0),
        image_output_tokens=made.get("IMAGE", 0),
    )


def served(usage: Usage, told: object, asked: object) -> Usage:
    """The usage at the service tier that the answer names, else at the one that was asked for."""
    tier = told if isinstance(told, str) and told else asked
    if not isinstance(tier, str) or (name := tier.lower()) in STANDARD:
        return usage
    return usage._replace(service=name.removeprefix("on_demand_"))


def _modes(usage: _Object, key: str) -> dict[str, int]:
    rows = usage.get(key) or ()
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise _Untrue
    return {str(row.get("modality")): _count(row, "tokenCount") for row in rows}


def _guarded(read: Any, usage: object) -> Usage | None:
    if usage.__class__ is not dict and not isinstance(usage, Mapping):
        return None
    try:
        understood: Usage = read(usage)
    except _Untrue:
        return None
    return understood if _true(understood) else None


def _true(usage: Usage) -> bool:
    """Whether the parts fit into their wholes. A call without any input is none."""
    return (
        0 < usage.input_tokens <= ABSURD
        and usage.output_tokens <= ABSURD
        and usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens
        and usage.reasoning_tokens <= usage.output_tokens
    )


def _count(usage: _Object, key: str) -> int:
    """A number of tokens; absent or null is 0."""
    value = usage.get(key)
    if value.__class__ is int and value >= 0:
        return value
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _Untrue
    return value


def _part(usage: _Object, key: str) -> _Object:
    value = usage.get(key)
    if value is None:
        return {}
    if value.__class__ is not dict and not isinstance(value, Mapping):
        raise _Untrue
    return value
