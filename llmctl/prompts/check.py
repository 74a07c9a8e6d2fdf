"""What is wrong with a prompt, told before anybody pays for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from llmctl.core.errors import CheckFailed
from llmctl.core.model import Message
from llmctl.prompts import contradictions
from llmctl.prompts.model import Missing, Template, nearest

Severity = Literal["error", "warning", "info"]
Count = Callable[[Sequence[Message]], int]
Detect = Callable[[str], Iterable[tuple[str, int, int]]]
"""Finds secrets and personal data in a text: (kind, start, end) each."""

NEARLY_FULL = 0.9
MAX_FINDINGS = 100
FENCE = re.compile(r"^(`{3,}|~{3,}).*?(?:^\1|\Z)", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`[^`\n]{1,200}`")
TAG = re.compile(r"\{[{%#].*?[}%#]\}", re.DOTALL)
PLACEHOLDER = re.compile(
    r"\{\{\s{0,9}[A-Za-z_]\w{0,60}\s{0,9}\}\}|\[(?:insert|your|todo|fill in)\b[^\]\n]{0,60}\]"
    r"|<(?:insert|your)\b[^>\n]{0,60}>|(?<![$\w]){[a-z_]{2,30}}(?!\w)|\bTODO\b|\bXXX+\b",
    re.IGNORECASE,
)
VERBS = (
    r"add|analy[sz]e|answer|ask|assess|calculate|categori[sz]e|check|choose|classify|compare|complete|compute"
    r"|continue|convert|correct|count|create|decide|define|describe|detect|determine|do|draft|edit|evaluate"
    r"|explain|extract|fill|find|fix|format|generate|give|grade|help|identify|improve|list|look|make|name|outline"
    r"|paraphrase|pick|plan|predict|produce|proofread|provide|rank|rate|read|recommend|rephrase|reply|respond"
    r"|return|review|rewrite|say|score|select|shorten|show|solve|sort|state|suggest|summari[sz]e|tag|tell|think"
    r"|transform|translate|turn|use|verify|work|write|you"
)
INSTRUCTION = re.compile(
    rf"(?:^|[.!?:;,]\s|\bplease\s|\bthen\s)[\s>*#\-\d.)]{{0,12}}(?:{VERBS})\b|[?？]"
    r"|\b(?:must|should|your task|do not|don't|never|always)\b",
    re.IGNORECASE | re.MULTILINE,
)
FORMAT = re.compile(
    r"\b(?:json|yaml|xml|csv|html|markdown|table|bullets?|lists?|numbered|sentences?|paragraphs?|words?|lines?"
    r"|characters|format|schema|true or false|yes or no|one of|only|nothing else|label|score|number)\b",
    re.IGNORECASE,
)
EXAMPLE = re.compile(r"\b(?:examples?|e\.g\.|for instance|such as)|^(?:input|q|question)\s*:", re.I | re.M)
LATIN = re.compile(r"[A-Za-z]{3}")
ENGLISH = re.compile(r"\b(?:the|of|and|is|are|this|that|it|to|for|with|from|your?|what|how|please)\b", re.I)
FOREIGN = re.compile(
    r"\b(?:der|das|ein|eine[mnrs]?|und|ist|nicht|für|über|auf|wie|bitte|le|les|une|est|pour|dans|avec|sur|quel(?:le)?"
    r"|el|los|las|por|una|qué|cómo|il|gli|che|della|sono|um|uma|não|het|een|voor|van|jest|nie|się|som|och|att"
    r"|что|как|это|для)\b",
    re.IGNORECASE,
)
"""Words without which hardly a sentence of the language does; those that English has too are left out."""
JUDGED = 20_000
"""Characters by which the language is told."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know; `place` says where (`message 2 (user), line 3`, `variables.x`)."""

    severity: Severity
    code: str
    message: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings, worst first, with the prompt's tokens and the model's context (None: unknown)."""

    findings: tuple[Finding, ...]
    tokens: int = 0
    context: int | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def exit_code(self) -> int:
        return CheckFailed.exit_code if self.errors else 0

    def raise_for_errors(self) -> None:
        """CheckFailed (exit 8) with the first error."""
        if self.errors:
            first, more = self.errors[0], len(self.errors) - 1
            place = f"{first.place}: " if first.place else ""
            also = f" (and {more} more)" if more else ""
            raise CheckFailed(f"{place}{first.message}{also}", hint="llmctl prompt check shows all findings")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a prompt is held against. `context` and `answer_room` in tokens; None: unknown.

    `strict` names codes whose findings count as errors, whatever they weigh otherwise.
    """

    model: str = ""
    context: int | None = None
    answer_room: int = 0
    strict: Collection[str] = field(default=frozenset())


def check(
    messages: Sequence[Message],
    *,
    limits: Limits,
    count: Count,
    detect: Detect | None = None,
    template: Template | None = None,
    has_schema: bool = False,
) -> CheckReport:
    """Looks at the messages as they would be sent.

    With `template`, instructions are looked for in its own words, not in what its variables bring in.
    """
    told = instructions(messages, template)
    tokens = count(messages)
    found = [
        *_context(tokens, limits),
        *_shape(messages, told, has_schema),
        *_placeholders(messages, template),
    ]
    if detect is not None:
        found += _private(messages, detect)
    found += [
        Finding("warning", "doubled", message, place) for message, place in contradictions.doubled(told)
    ]
    found += [Finding("warning", "contradiction", message) for message in contradictions.contradictions(told)]
    return CheckReport(ordered(found, limits.strict), tokens, limits.context)


def check_variables(
    template: Template, used: Collection[str], given: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Undefined, missing and unused variables; `used` is what the body names (`Renderer.names`).

    `given` None: only the template is judged, its required variables may still come.
    """
    found = []
    source = template.source
    undeclared = set(used) - set(template.variables) - set(given or ())
    if given is None and template.syntax == "dollar":  # templates of `llm` cannot declare, only give defaults
        undeclared.clear()
    for name in sorted(undeclared):
        known = set(template.variables) | set(given or ())
        hint = nearest(name, known)
        message = f"the variable {name!r} is used and {'not declared' if given is None else 'undefined'}"
        severity: Severity = "warning" if given is None and not template.variables else "error"
        found.append(Finding(severity, "undefined", f"{message}; {hint}" if hint else message, source))
    for name, variable in template.variables.items():
        if name not in used:
            found.append(
                Finding("warning", "unused", f"the variable {name!r} is declared and never used", source)
            )
        elif (
            given is not None
            and variable.required
            and variable.default is Missing
            and given.get(name) is None
        ):
            found.append(Finding("error", "missing", f"the variable {name!r} is not given", source))
    return found


def ordered(findings: Iterable[Finding], strict: Collection[str] = ()) -> tuple[Finding, ...]:
    """Errors first, each finding once, at most MAX_FINDINGS of them."""
    raised = (
        Finding("error", f.code, f.message, f.place) if f.code in strict else f
        for f in dict.fromkeys(findings)
    )
    ranks = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(raised, key=lambda f: ranks[f.severity])[:MAX_FINDINGS])


def texts(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """(place, text) of every text in the messages."""
    for number, message in enumerate(messages, 1):
        place = f"message {number} ({message.get('role')})"
        content = message.get("content")
        if isinstance(content, str):
            yield place, content
        for part in content if isinstance(content, list | tuple) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield place, part["text"]


def instructions(messages: Sequence[Message], template: Template | None) -> str:
    """The words that tell the model what to do: without code, and without what variables bring in."""
    if template is not None:
        told = TAG.sub(" ", f"{template.system or ''}\n{template.body}")
    else:
        told = "\n".join(text for _, text in texts([m for m in messages if m.get("role") != "assistant"]))
    return FENCE.sub("", told)


def _context(tokens: int, limits: Limits) -> Iterator[Finding]:
    if limits.context is None:
        yield Finding("info", "context", f"the context window of {limits.model or 'the model'} is not known")
        return
    need = tokens + limits.answer_room
    room = f"{limits.answer_room:,} for the answer"
    sums = f"{tokens:,} tokens and {room}; {limits.model} takes {limits.context:,}"
    if need > limits.context:
        yield Finding("error", "context", f"too long: {sums}")
    elif need > NEARLY_FULL * limits.context:
        yield Finding("warning", "context", f"nearly full: {sums}")


def _shape(messages: Sequence[Message], told: str, has_schema: bool) -> Iterator[Finding]:
    """Instructions, an output format and examples. The words are English: other languages are not judged."""
    if not _english(told):
        return
    if not INSTRUCTION.search(told):
        yield Finding("warning", "instructions", "says nothing of what to do with the text")
    if not has_schema and not FORMAT.search(told):
        yield Finding("warning", "format", "asks for no output format (a list, JSON, so many words, …)")
    if not EXAMPLE.search(told) and not any(message.get("role") == "assistant" for message in messages):
        yield Finding("info", "examples", "shows no example of a good answer")


def _english(text: str) -> bool:
    """Whether the text may be English: Latin letters, and not more little words of other languages."""
    start = text[:JUDGED]
    return bool(LATIN.search(text)) and len(FOREIGN.findall(start)) <= len(ENGLISH.findall(start))


def _placeholders(messages: Sequence[Message], template: Template | None) -> Iterator[Finding]:
    """Places left to be filled. With a template only its own words are searched: data may hold anything."""
    searched = [(template.source, TAG.sub("", template.body))] if template else texts(messages)
    for place, text in searched:
        bare = SPAN.sub("", FENCE.sub(lambda match: "\n" * match[0].count("\n"), text))
        matches = list(islice(PLACEHOLDER.finditer(bare), MAX_FINDINGS))
        for match, line in zip(matches, _lines(bare, [match.start() for match in matches]), strict=True):
            where = f"{place}, line {line}"
            if match[0].startswith("{{") and template is None:
                message = f"the variable {match[0]} is undefined: only a template, given by -t, has variables"
                yield Finding("error", "undefined", message, where)
            else:
                yield Finding("warning", "placeholder", f"{match[0]} is not filled", where)


def _private(messages: Sequence[Message], detect: Detect) -> Iterator[Finding]:
    """Secrets are errors, personal data warnings; neither is repeated in the report."""
    for place, text in texts(messages):
        spans = sorted(detect(text), key=lambda span: span[1])[:MAX_FINDINGS]
        for (kind, _, _), line in zip(spans, _lines(text, [span[1] for span in spans]), strict=True):
            where = f"{place}, line {line}"
            if kind == "secret":
                yield Finding("error", "secret", "holds a key or password", where)
            else:
                yield Finding("warning", "personal", f"holds personal data ({kind})", where)


def _lines(text: str, positions: Iterable[int]) -> Iterator[int]:
    """The line of each position, positions rising: the text is counted through once."""
    line, last = 1, 0
    for position in positions:
        line += text.count("\n", last, position)
        last = position
        yield line
