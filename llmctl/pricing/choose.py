"""Which of a profile's candidates to ask: the cheapest that can do it, with a reason for each refused.

A candidate can do a task that is no more complex than it `fits`. Where the profile does not say what
a model fits, its price does: makers price their models by what they can do. Below 1 USD per million
output tokens a model fits simple tasks, below 6 normal ones, else complex ones too. A model on one's
own machine, which costs nothing, or of unknown price fits simple and normal tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmctl.core.errors import BudgetError, ConfigError, ContextTooLong
from llmctl.core.model import Usage
from llmctl.core.money import NANO, Nanos, show_usd
from llmctl.pricing.book import PriceBook, abilities
from llmctl.pricing.complexity import LEVELS, Complexity
from llmctl.pricing.cost import Price, cost, most

SIMPLE_BELOW, NORMAL_BELOW = 1, 6
"""USD per million output tokens."""

NAMES_OF_NEEDS = {
    "audio": "audio_input",
    "image": "vision",
    "images": "vision",
    "json": "response_schema",
    "pdf": "pdf_input",
    "schema": "response_schema",
    "tools": "function_calling",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model of the profile by its name there; `fits` as in its rule, `auto` for judged by price."""

    name: str
    model: str
    fits: str = "auto"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done. `needs` are abilities in litellm's words (`vision`) or the shorter ones above.

    `budget` None is no limit. `judged` says that the complexity is a guess: it then prefers, but
    refuses nobody.
    """

    complexity: Complexity
    input_tokens: int
    output_tokens: int
    needs: frozenset[str] = frozenset()
    budget: Nanos | None = None
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """One candidate: what the task would cost with it (None: unknown) and why it was refused, if it was."""

    candidate: Candidate
    fits: Complexity
    cost: Nanos | None
    most: Nanos | None
    refused: str | None = None
    why: str | None = None
    """The kind of the reason: `complexity`, `ability`, `context`, `price` or `budget`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The verdict on every candidate in the profile's order, and the one that was chosen."""

    verdicts: tuple[Verdict, ...]
    chosen: Verdict | None
    complexity: Complexity = "normal"
    judged: bool = False
    """Whether the complexity is a guess from the prompt."""

    def require(self) -> Verdict:
        """The chosen one; else BudgetError, ContextTooLong or ConfigError with all reasons."""
        if self.chosen is not None:
            return self.chosen
        reasons = "; ".join(f"{verdict.candidate.name}: {verdict.refused}" for verdict in self.verdicts)
        kinds = {verdict.why for verdict in self.verdicts}
        if kinds & {"budget", "price"}:
            raise BudgetError(f"no candidate fits the money left: {reasons}")
        if "context" in kinds:
            raise ContextTooLong(f"no candidate can take the prompt: {reasons}")
        raise ConfigError(
            f"no candidate can do this task: {reasons or 'there are none'}",
            hint="add a model to the profile's candidates, or name one with -m",
        )


def pick(candidates: Sequence[Candidate], task: Task, book: PriceBook) -> Choice:
    """The cheapest candidate that fits; of equal ones the first.

    Without a budget, candidates of unknown price come after all others. Where nobody fits a
    complexity that was only guessed, the most capable of the rest is chosen.
    """
    return best([judge(candidate, task, book) for candidate in candidates], task.complexity, task.judged)


def best(found: Sequence[Verdict], level: Complexity, judged: bool) -> Choice:
    """The choice among candidates that were judged for a task of that complexity; `judged` as in Task."""
    verdicts = tuple(found)
    able = [verdict for verdict in verdicts if verdict.refused is None]
    if able:
        return Choice(verdicts, min(able, key=_price_order), level, judged)
    rest = [verdict for verdict in verdicts if verdict.why == "complexity"] if judged else []
    chosen = min(
        rest, key=lambda verdict: (-LEVELS.index(verdict.fits), *_price_order(verdict)), default=None
    )
    return Choice(verdicts, chosen, level, judged)


def _price_order(verdict: Verdict) -> tuple[bool, Nanos]:
    return verdict.cost is None, verdict.cost or 0


def judge(candidate: Candidate, task: Task, book: PriceBook) -> Verdict:
    """One candidate by itself. The complexity is looked at last: its refusal means all else is well."""
    price = book.price(candidate.model)
    info = book.info(candidate.model) or {}
    fits = fits_of(candidate, price)
    usage = Usage(task.input_tokens, task.output_tokens)
    expected = None if price is None else cost(price, usage)
    highest = None if price is None else most(price, task.input_tokens, task.output_tokens)
    why, refused = (
        _cannot(task, info)
        or _too_dear(task, highest)
        or (
            ("complexity", f"fits {fits} tasks, this one is {task.complexity}")
            if LEVELS.index(fits) < LEVELS.index(task.complexity)
            else (None, None)
        )
    )
    return Verdict(candidate, fits, expected, highest, refused, why)


def fits_of(candidate: Candidate, price: Price | None) -> Complexity:
    """The most complex task for the candidate, declared or judged by the rules above."""
    for level in LEVELS:
        if candidate.fits == level:
            return level
    if price is None or price.free:
        return "normal"
    usd = price.base.output * 1_000_000 / NANO
    return "simple" if usd < SIMPLE_BELOW else "normal" if usd < NORMAL_BELOW else "complex"


def _cannot(task: Task, info: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the model lacks. What the price file does not know is not held against it."""
    room, longest = info.get("max_input_tokens"), info.get("max_output_tokens")
    if isinstance(room, int) and task.input_tokens > room:
        return "context", f"takes {room:,} tokens, the prompt has {task.input_tokens:,}"
    if isinstance(longest, int) and task.output_tokens > longest:
        return "context", f"answers at most {longest:,} tokens, {task.output_tokens:,} are asked for"
    needs = {NAMES_OF_NEEDS.get(need, need) for need in task.needs}
    missing = sorted(needs - abilities(info)) if info else []
    return ("ability", f"lacks {', '.join(missing)}") if missing else None


def _too_dear(task: Task, highest: Nanos | None) -> tuple[str, str] | None:
    if task.budget is None:
        return None
    if highest is None:
        return "price", "its price is unknown; declare it under prices in the profile"
    if highest > task.budget:
        return "budget", f"may cost {show_usd(highest)}, {show_usd(task.budget)} is left"
    return None
