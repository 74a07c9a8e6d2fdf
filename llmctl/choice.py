"""Which candidate a prompt is worth: `pricing.choose` for the requests that a profile would make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmctl.ask import Ask, base
from llmctl.core.errors import BudgetError
from llmctl.core.model import Message, Request
from llmctl.core.model import replace as with_
from llmctl.core.money import Nanos
from llmctl.pricing.choose import Candidate, Choice, Task, Verdict, best, judge
from llmctl.pricing.complexity import Complexity, complexity
from llmctl.pricing.reservation import ALONG, output_limit
from llmctl.pricing.tokens import count, upper_bound
from llmctl.recipe import question
from llmctl.services import Services
from llmctl.usage.budgets import Status, statuses

FRESH_S = 1.0
"""How long what is left in the budgets is taken for known: a batch asks for every row."""
BYTES_A_TOKEN = 4
"""Of the usual prompt: enough to compare prices. The tokenizer is asked where a context may be too small."""
USUAL_OUTPUT = 1000
"""Output tokens where nobody said how many."""
MEDIA = {"image_url": "vision", "input_audio": "audio_input", "file": "pdf_input"}


class Chooser:
    """Chooses for prompts that are asked as `ask` says. The profile's candidates, else all its models."""

    def __init__(self, services: Services, ask: Ask) -> None:
        self.services = services
        self.ask = ask
        profile = services.profile
        self.candidates: list[Candidate] = []
        for name in profile.candidates or tuple(profile.models):
            rule = profile.models.get(name)
            fits = rule.fits if rule else "auto"
            self.candidates.append(Candidate(name, services.targets.model(name), fits))
        self._bases: dict[str, Request] = {}
        self._looked = float("-inf")
        self._statuses: list[Status] = []

    def name(self, messages: Sequence[Message], params: Mapping[str, Any], tag: str | None = None) -> str:
        """The chosen candidate's; BudgetError, ContextTooLong or ConfigError with all reasons."""
        return self.choose(messages, params, tag).require().candidate.name

    def choose(
        self,
        messages: Sequence[Message],
        params: Mapping[str, Any],
        tag: str | None = None,
        *,
        level: Complexity | None = None,
        budget: Nanos | None = None,
    ) -> Choice:
        """The verdict on every candidate. `level` None: judged by the prompt; `budget` in nano-dollars."""
        task = Task(
            complexity=level or complexity(told(messages)),
            input_tokens=0,
            output_tokens=USUAL_OUTPUT,
            needs=needs(messages, params),
            budget=budget,
            judged=level is None,
        )
        messages = tuple(messages)
        found = [self._judge(each, task, messages, params, tag) for each in self.candidates]
        return best(found, task.complexity, task.judged)

    def _judge(
        self,
        candidate: Candidate,
        task: Task,
        messages: Sequence[Message],
        params: Mapping[str, Any],
        tag: str | None,
    ) -> Verdict:
        request = with_(self._base(candidate.name, params), messages=messages, tag=tag or self.ask.tag)
        limits = [amount for amount in (task.budget, self._left(request)) if amount is not None]
        own = replace(
            task,
            input_tokens=self._input(request),
            output_tokens=self._output(request),
            budget=min(limits, default=None),
        )
        return judge(candidate, own, self.services.prices)

    def _base(self, name: str, params: Mapping[str, Any]) -> Request:
        """What is asked of the candidate, without messages; most rows have no parameters of their own."""
        usual = params == self.ask.params
        if usual and name in self._bases:
            return self._bases[name]
        request = base(self.services, replace(self.ask, model=name, params=params))
        if usual:
            self._bases[name] = request
        return request

    def _input(self, request: Request) -> int:
        """Roughly; exact where the bound is over the model's context."""
        model = request.target.model
        along = (request.schema, *(request.params.get(name) for name in ALONG))
        bound = upper_bound(request.messages, *along, model=model)
        room = (self.services.prices.info(model) or {}).get("max_input_tokens")
        if isinstance(room, int) and bound > room:
            return count(request.messages, model).tokens
        return bound // BYTES_A_TOKEN

    def _output(self, request: Request) -> int:
        """What is asked for. A default that the model cannot reach is not held against it."""
        try:
            asked = output_limit(request, self.services.prices)
        except BudgetError:
            return USUAL_OUTPUT
        longest = (self.services.prices.info(request.target.model) or {}).get("max_output_tokens")
        if isinstance(longest, int) and "max_tokens" in request.defaults:
            return min(asked, longest)
        return asked

    def _left(self, request: Request) -> Nanos | None:
        """The money left for such a request; None without a budget."""
        purses = self.services.purses
        if not purses:
            return None
        now = self.services.clock.now()
        if not self._looked <= now < self._looked + FRESH_S:
            self._statuses = [each for purse in purses for each in statuses(purse.budgets, purse.open(), now)]
            self._looked = now
        budgets = [budget for purse in purses for budget in purse.budgets]
        known = zip(budgets, self._statuses, strict=True)
        return min((status.left for budget, status in known if budget.counts(request)), default=None)


def told(messages: Sequence[Message]) -> str:
    """What the complexity is judged by: the system text and the last question."""
    parts = [str(m["content"]) for m in messages if m.get("role") == "system" and m.get("content")]
    return "\n".join([*parts, _text(messages)])


def _text(messages: Sequence[Message]) -> str:
    """The last user text, also where it stands in parts beside images."""
    if plain := question(messages):
        return plain
    for message in reversed(messages):
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, list | tuple):
            return "\n".join(str(part["text"]) for part in content if part.get("type") == "text")
    return ""


def needs(messages: Sequence[Message], params: Mapping[str, Any]) -> frozenset[str]:
    """The abilities that the request asks for. A schema is none: it can stand in the text."""
    found = {"function_calling"} if params.get("tools") else set()
    for message in messages:
        content = message.get("content")
        if isinstance(content, list | tuple):
            found.update(MEDIA[part["type"]] for part in content if part.get("type") in MEDIA)
    return frozenset(found)
