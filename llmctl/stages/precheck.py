"""Outermost: what must not be asked is refused here, before anything is paid."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from llmctl.core.errors import PromptRefused
from llmctl.core.model import Message, Request, Response, Send, replace
from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule

if TYPE_CHECKING:
    from llmctl.prompts.check import CheckReport, Detect, Finding
    from llmctl.prompts.render import Renderer

SHOWN = 3
"""Findings that a refusal names; `prompt check` shows them all."""


class Facts(Protocol):
    """What this stage needs to know of models."""

    def window(self, model: str) -> int | None: ...

    def sees(self, model: str) -> bool | None: ...

    def answer_room(self, request: Request) -> int: ...

    def count(self, what: str | Sequence[Message], model: str) -> int: ...

    def bound(self, messages: Sequence[Message], model: str) -> int: ...


def precheck(next: Send, checks: Sequence[str], facts: Facts, privacy: PrivacyRule) -> Send:
    """Refuses images for models without eyes, and prompts that fail the `checks` of profile or template.

    Raises PromptRefused. Of a model that is not known to see or not to see the response warns.
    """

    def send(request: Request) -> Awaitable[Response]:
        blind = _eyes(request, facts)
        if wanted := codes(request.renderer, checks):
            refuse(request, wanted, facts, privacy)
        return warned(next(request), blind) if blind else next(request)

    async def warned(answer: Awaitable[Response], blind: str) -> Response:
        response = await answer
        return replace(response, warnings=(blind, *response.warnings))

    return send


def codes(renderer: Renderer | None, checks: Sequence[str]) -> frozenset[str]:
    """The checks in force: those of the profile and those of the prompt's template."""
    return frozenset((*checks, *renderer.template.checks)) if renderer else frozenset(checks)


def refuse(request: Request, wanted: frozenset[str], facts: Facts, privacy: PrivacyRule) -> None:
    """PromptRefused with the findings that are not allowed."""
    found = list(forbidden(examined(request, facts, privacy, exact=False), wanted))
    if not found:
        return
    told = "; ".join(f"{f.place}: {f.message}" if f.place else f.message for f in found[:SHOWN])
    more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
    names = ", ".join(sorted({f.code for f in found}))
    raise PromptRefused(
        f"the checks refuse the prompt ({names}): {told}{more}",
        hint="nothing was sent; llmctl prompt check shows all findings",
    )


def forbidden(report: CheckReport, wanted: frozenset[str]) -> Iterator[Finding]:
    """The findings that stop a prompt. `all` stands for errors and warnings; a code for its hints too.

    What cannot be judged, since the model's context window is unknown, stops nothing.
    """
    for finding in report.findings:
        if finding.code == "context" and report.context is None:
            continue
        if finding.code in wanted or ("all" in wanted and finding.severity != "info"):
            yield finding


def examined(request: Request, facts: Facts, privacy: PrivacyRule, *, exact: bool = True) -> CheckReport:
    """All findings about a request. Without `exact` tokens are counted only where it may get close."""
    from llmctl.prompts.check import Finding, Limits, check, check_variables, ordered

    model = request.target.model
    window = facts.window(model)
    limits = Limits(model, window, facts.answer_room(request))

    def count(messages: Sequence[Message]) -> int:
        bound = facts.bound(messages, model)
        if not exact and (window is None or bound + limits.answer_room < window // 2):
            return bound
        return facts.count(messages, model) + (
            facts.count(str(request.schema), model) if request.schema else 0
        )

    template = request.renderer.template if request.renderer else None
    report = check(
        request.messages,
        limits=limits,
        count=count,
        detect=detector(privacy),
        template=template,
        has_schema=request.schema is not None,
    )
    more = []
    if any(map(_image, request.messages)) and not (sees := facts.sees(model)):
        told = "does not take images" if sees is False else "is not known to take images"
        more.append(Finding("warning" if sees is None else "error", "images", f"{model} {told}"))
    if template is not None and request.renderer is not None:
        more += [f for f in check_variables(template, request.renderer.names) if f.code == "unused"]
    return type(report)(ordered([*report.findings, *more]), report.tokens, report.context)


def detector(privacy: PrivacyRule) -> Detect:
    """Finds every kind of secret and personal data that the profile does not redact anyway."""
    from llmctl.privacy.detect import detector as all_of

    kinds = tuple(kind for kind in PRIVACY_KINDS if kind not in privacy.redact)
    found = all_of(PrivacyRule(redact=kinds, region=privacy.region))

    def detect(text: str) -> Iterator[tuple[str, int, int]]:
        return ((span.kind, span.start, span.end) for span in found.find(text))

    return detect


def _eyes(request: Request, facts: Facts) -> str | None:
    """A warning where the model may not see the request's images. PromptRefused where it does not."""
    if all(message.get("content").__class__ is str for message in request.messages):
        return None
    if not any(map(_image, request.messages)):
        return None
    model = request.target.model
    sees = facts.sees(model)
    if sees is False:
        raise PromptRefused(
            f"{model} does not take images", hint="pick a model that sees, for example with -m"
        )
    return f"it is not known whether {model} takes images" if sees is None else None


def _image(message: Any) -> bool:
    content = message.get("content")
    return isinstance(content, list | tuple) and any(
        isinstance(part, dict) and part.get("type") == "image_url" for part in content
    )
