"""From what a user asks to a Request: model, messages, parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llmctl.core.errors import UsageError
from llmctl.core.model import CacheMode, Message, OnText, Request
from llmctl.recipe import PLAIN, Prepared, Recipe
from llmctl.services import Services
from llmctl.targets import Choice

AUTO = "auto"
"""In place of a model's name: the cheapest of the profile's candidates that fits the prompt."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question in a user's words; `messages` stand before the prompt."""

    prompt: str = ""
    system: str | None = None
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    schema: Mapping[str, Any] | None = None
    cache: CacheMode = "use"
    tag: str | None = None
    on_text: OnText | None = None
    heard: bool = True
    """Whether someone sees what `on_text` is given."""
    recipe: Recipe = PLAIN


def asked(ask: Ask, prepared: Prepared) -> Ask:
    """The ask with what its template says where the user did not."""
    return replace(
        ask,
        recipe=prepared.recipe,
        model=ask.model or prepared.model,
        params={**prepared.params, **ask.params},
        schema=ask.schema or prepared.schema,
    )


def compose(services: Services, ask: Ask) -> Request:
    """The Request, its keys still references. UsageError where there is nothing to ask.

    With the model `auto` also what `Choice.require` raises where no candidate will do.
    """
    messages = ask.recipe.messages(ask.prompt, system=ask.system, history=ask.messages)
    if not any(message.get("role") != "system" for message in messages):
        raise UsageError("there is no prompt", hint="llmctl run 'PROMPT', or pipe a text into it")
    if is_auto(services, ask.model):
        from llmctl.choice import Chooser

        ask = replace(ask, model=Chooser(services, ask).name(messages, ask.params))
    return replace(base(services, ask), messages=messages, on_text=ask.on_text, heard=ask.heard)


def is_auto(services: Services, name: str | None) -> bool:
    """Whether the model is to be chosen by the prompt; a model of that name goes before."""
    return name == AUTO and AUTO not in services.profile.models


def base(services: Services, ask: Ask, choice: Choice | None = None) -> Request:
    """A request without messages: the model, its parameters, and who asks."""
    choice = choice or services.targets.choose(ask.model, ask.params)
    return Request(
        target=choice.target,
        messages=(),
        params=choice.params,
        defaults=choice.defaults,
        schema=ask.schema,
        climb=choice.climb,
        cot=ask.recipe.cot,
        renderer=ask.recipe.renderer,
        cache=ask.cache,
        key=choice.target.keys[0] if choice.target.keys else None,
        tag=ask.tag,
        run_id=services.run_id,
        profile=services.resolved.name,
    )
