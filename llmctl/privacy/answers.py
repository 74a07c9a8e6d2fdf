"""Judges what comes back: secrets, and the profile's forbidden words and patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from llmctl.core.errors import UnsafeAnswer
from llmctl.core.model import Response, replace
from llmctl.core.profile import PrivacyRule
from llmctl.privacy.detect import detector
from llmctl.privacy.redact import PLACEHOLDER
from llmctl.privacy.rewrite import Find, map_strings, rewrite, rewrite_json
from llmctl.privacy.span import Span

Finding = Counter[str]
_NOTHING: Finding = Counter()


def judge(response: Response, rule: PrivacyRule) -> Response:
    """The answer as the rule lets it through: as it is, with a warning, or masked.

    UnsafeAnswer with `block`: it carries what the answer cost, but nothing that the answer says, and its
    message kinds and counts, never a value.
    """
    found = inspect(response, rule)
    if not found:
        return response
    summary = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    if rule.answers == "block":
        raise UnsafeAnswer(
            f"the answer holds what privacy.answers blocks: {summary}",
            hint="it was not shown or cached; rephrase the prompt, or set privacy.answers: mask",
            billed="no" if response.cached else "yes",
            response=emptied(response),
        )
    if rule.answers == "mask":
        masked = _masked(response, _finder(rule))
        return replace(masked, warnings=(*masked.warnings, f"masked in the answer: {summary}"))
    return replace(response, warnings=(*response.warnings, f"found in the answer: {summary}"))


def emptied(response: Response) -> Response:
    """The answer without anything it says: whoever is handed it can show nothing."""
    return replace(response, text="", reasoning=None, tool_calls=(), parsed=None, body=None)


def is_unsafe(response: Response, rule: PrivacyRule) -> bool:
    """Whether `judge` would block this answer: such a one must not be cached."""
    return rule.answers == "block" and bool(inspect(response, rule))


def inspect(response: Response, rule: PrivacyRule) -> Finding:
    """How many values of each kind the answer holds; nothing with `answers: off`."""
    if rule.answers == "off":
        return _NOTHING
    find = _finder(rule)
    if response.reasoning is None and not response.tool_calls and not find(response.text):
        return _NOTHING
    # The same value in the text and in what was parsed of it counts once.
    found = {(span.kind, span.value) for text in _texts(response) for span in find(text)}
    return Counter(kind for kind, _ in found)


@lru_cache(8)
def _finder(rule: PrivacyRule) -> Find:
    wanted = PrivacyRule(
        redact=rule.answer_kinds,
        words={"forbidden word": list(rule.forbidden)} if rule.forbidden else {},
        patterns={f"forbidden {label}": pattern for label, pattern in rule.forbidden_patterns.items()},
        region=rule.region,
    )
    finder = detector(wanted)

    def find(text: str) -> list[Span]:
        spans = finder.find(text)
        return [span for span in spans if not PLACEHOLDER.fullmatch(span.value)] if spans else spans

    return find


def _texts(response: Response) -> Iterator[str]:
    yield response.text
    if response.reasoning:
        yield response.reasoning
    for call in response.tool_calls:
        function = call.get("function")
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if isinstance(arguments, str):
            yield arguments


def _masked(response: Response, find: Find) -> Response:
    def plain(text: str) -> str:
        return rewrite(text, find(text), _mask)

    def inside_json(text: str) -> str:
        return rewrite_json(text, find, _mask)

    def deep(value: Any) -> Any:
        return map_strings(value, plain, inside_json)

    return replace(
        response,
        text=inside_json(response.text),
        reasoning=plain(response.reasoning) if response.reasoning else response.reasoning,
        tool_calls=deep(response.tool_calls),
        parsed=deep(response.parsed),
        body=deep(response.body),
    )


def _mask(span: Span) -> str:
    return f"[{span.kind.upper()}]"
