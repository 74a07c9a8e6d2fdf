"""From what a user asks to a Request: model, messages, parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmctl.core.canonical import clean
from llmctl.core.errors import UsageError
from llmctl.core.model import CacheMode, Message, OnText, Request
from llmctl.services import Services


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


def compose(services: Services, ask: Ask) -> Request:
    """The Request, its keys still references. UsageError where there is nothing to ask."""
    messages = compose_messages(ask)
    if not messages:
        raise UsageError("there is no prompt", hint="llmctl run 'PROMPT', or pipe a text into it")
    choice = services.targets.choose(ask.model, ask.params)
    return Request(
        target=choice.target,
        messages=messages,
        params=choice.params,
        defaults=choice.defaults,
        schema=ask.schema,
        cache=ask.cache,
        on_text=ask.on_text,
        key=choice.target.keys[0] if choice.target.keys else None,
        tag=ask.tag,
        run_id=services.run_id,
        profile=services.resolved.name,
    )


def compose_messages(ask: Ask) -> tuple[Message, ...]:
    messages: list[Message] = []
    if ask.system:
        messages.append({"role": "system", "content": clean(ask.system)})
    messages.extend(ask.messages)
    if ask.prompt.strip():
        messages.append({"role": "user", "content": clean(ask.prompt)})
    return tuple(messages)
