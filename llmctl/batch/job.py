"""What one batch is asked to do, and how a row of it becomes a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmctl.ask import Ask, is_auto
from llmctl.ask import base as base_request
from llmctl.batch.outputs import seal_of
from llmctl.batch.rows import Row
from llmctl.core.canonical import canonical, digest
from llmctl.core.model import Message, Request, replace
from llmctl.services import Services
from llmctl.targets import Choice

if TYPE_CHECKING:
    from llmctl.batch.veil import Veil
    from llmctl.choice import Chooser


NO_MATTER = frozenset(
    {"description", "limits", "timeout", "retry", "breaker", "cache", "budgets", "prices", "alerts", "notify"}
    | {"state", "max_answer_bytes", "local", "plain_http", "logs"}
)
"""Parts of a profile that decide how rows are asked, not what is."""


@dataclass(frozen=True, slots=True)
class Job:
    """The command's options. `concurrency` is how many rows are worked on at first.

    `shard` (i, n) takes every n-th row from the i-th on, i from 1.
    """

    ask: Ask = field(default_factory=Ask)
    out: Path | None = None
    concurrency: int = 32
    limit: int | None = None
    shard: tuple[int, int] | None = None
    restart: bool = False
    retry_failed: bool = False
    order: Literal["input", "done"] = "input"
    format: Literal["llmctl", "openai"] | None = None
    kept: Path | None = None
    """The journal of a batch without OUT; None: it ends with the batch."""

    @property
    def journal(self) -> Path | None:
        return self.out.with_name(self.out.name + ".journal") if self.out else self.kept

    @property
    def failed_out(self) -> Path | None:
        return self.out and self.out.with_name(self.out.name + ".failed.jsonl")

    @property
    def template(self) -> bool:
        """Whether rows are variables of a template."""
        return self.ask.recipe.renderer is not None

    def takes(self, row: int) -> bool:
        """Whether the row of that number belongs to this run."""
        if self.limit is not None and row >= self.limit:
            return False
        return self.shard is None or row % self.shard[1] == self.shard[0] - 1

    def openai(self, row: Row) -> bool:
        return row.openai if self.format is None else self.format == "openai"

    def context(self, services: Services) -> str:
        """A hash over all that, beside the input, decides what OUT holds."""
        values = [
            (path, str(value))
            for path, value, _ in services.resolved.origins()
            if path.partition(".")[0] not in NO_MATTER
        ]
        ask = self.ask
        asked = [
            ask.system,
            ask.model,
            dict(ask.params),
            list(ask.messages),
            ask.schema,
            ask.recipe.told(),
        ]
        shape = [self.limit, self.shard, self.order, self.format]
        return digest(canonical([values, asked, shape]))[:32]


class Composer:
    """Makes requests of rows; what rows have in common is worked out once."""

    def __init__(self, services: Services, ask: Ask) -> None:
        self.services = services
        self.ask = ask
        self._choices: dict[str | None, Choice] = {}
        self._template: dict[str | None, Request] = {}

    def request(self, row: Row) -> Request:
        """The row's Request; LlmctlError where it cannot be one (unknown model)."""
        name, messages = row.model or self.ask.model, self.messages(row)
        if row.openai and row.model:
            name = self.services.targets.served(row.model)
        if is_auto(self.services, name):
            name = self._chooser.name(messages, {**self.ask.params, **row.params}, row.tag)
        base = self._template.get(name)
        if base is None:
            base = self._template[name] = base_request(self.services, self.ask, self._choice(name, {}))
        if row.params:
            choice = self._choice(name, row.params)
            base = replace(base, params=choice.params, defaults=choice.defaults, climb=choice.climb)
        return replace(base, messages=messages, tag=row.tag or self.ask.tag, keep_body=row.openai)

    @cached_property
    def veil(self) -> Veil | None:
        """What keeps redacted values out of the journal; None where nothing is redacted."""
        rule = self.services.profile.privacy
        if not rule.redacts:
            return None
        from llmctl.batch.veil import Veil

        return Veil(rule, self.request, self.services.answers.ready)

    def opens(self, payload: bytes) -> bool:
        """Whether what is hidden in a record can be put back under the profile as it is now."""
        return seal_of(payload) in (b"", self.veil.seal if self.veil else b"")

    def label(self, row: Row) -> Row:
        """The row as the journal may know it."""
        return row if self.veil is None else self.veil.label(row)

    def messages(self, row: Row) -> tuple[Message, ...]:
        ask = self.ask
        history = (*ask.messages, *row.messages) if row.messages else ask.messages
        system = row.system if row.system is not None else ask.system
        return ask.recipe.messages(row.prompt or "", system=system, history=history, variables=row.variables)

    @cached_property
    def _chooser(self) -> Chooser:
        from llmctl.choice import Chooser

        return Chooser(self.services, self.ask)

    def _choice(self, name: str | None, params: Mapping[str, Any]) -> Choice:
        if params:
            return self.services.targets.choose(name, {**self.ask.params, **params})
        if name not in self._choices:
            self._choices[name] = self.services.targets.choose(name, self.ask.params)
        return self._choices[name]
