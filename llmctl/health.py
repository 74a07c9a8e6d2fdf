"""How things stand just now: budgets, breakers, keys, rate limits and alerts, for whoever watches.

Nothing is asked of any provider, and nothing is moved but what `llmctl budget` moves too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmctl.core.model import Target
from llmctl.usage.budgets import Budget, Status, statuses

if TYPE_CHECKING:
    from llmctl.resilience.circuit import Seen
    from llmctl.services import Services


@dataclass(frozen=True, slots=True)
class Held:
    """One key of the profile at one address, for the models that use it."""

    reference: str
    target: Target
    models: list[str]


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """`state`: alive, missing, cooling, spent or refused; `rests_s` seconds that it is left alone for."""

    reference: str
    provider: str
    models: list[str]
    state: str
    rests_s: float | None
    used: int

    def envelope(self) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "provider": self.provider,
            "models": self.models,
            "state": self.state,
            "rests_s": self.rests_s,
            "used": self.used,
        }


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit at work: what it limits, and the seconds until a request would have its turn."""

    model: str
    what: str
    wait_s: float

    def envelope(self) -> dict[str, Any]:
        return {"model": self.model, "what": self.what, "wait_s": self.wait_s}


@dataclass(frozen=True, slots=True)
class Health:
    """All of it; `alerts` are objects of `alerts list --json` with a `text` for people."""

    profile: str
    budgets: list[Status]
    breakers: list[Seen]
    keys: list[KeyHealth]
    limits: list[Limit]
    alerts: list[dict[str, object]]

    def envelope(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "budgets": [each.envelope() for each in self.budgets],
            "breakers": [breaker(each) for each in self.breakers],
            "keys": [each.envelope() for each in self.keys],
            "limits": [each.envelope() for each in self.limits],
            "alerts": self.alerts,
        }


def health(opened: Services) -> Health:
    """StorageError where the state or the ledger cannot be read, ConfigError for a wrong profile."""
    return Health(
        opened.resolved.name,
        budgets(opened),
        opened.circuits.seen(),
        [key_health(opened, held) for held in held_by(opened)],
        limits(opened),
        alerts(opened),
    )


def budgets(opened: Services) -> list[Status]:
    """The state is not opened where there is nothing to look up."""
    rules = [Budget(rule) for rule in opened.profile.budgets]
    return statuses(rules, opened.state, opened.clock.now()) if rules else []


def breaker(seen: Seen) -> dict[str, Any]:
    """A breaker in JSON; `due_s` seconds until the next try, null where it is closed."""
    due = None if seen.state == "closed" else round(seen.due, 3)
    return {"name": seen.name, "state": seen.state, "failures": seen.failures, "due_s": due}


def held_by(opened: Services) -> Iterator[Held]:
    """The keys of all models of the profile, each address and reference once."""
    found: dict[tuple[str, str | None, str], Held] = {}
    for name in opened.profile.models:
        target = opened.targets.choose(name).target
        for reference in target.keys:
            place = (target.provider, target.api_base, reference)
            found.setdefault(place, Held(reference, target, [])).models.append(name)
    yield from found.values()


def key_health(opened: Services, held: Held) -> KeyHealth:
    """As all processes know it; nothing is asked."""
    from llmctl.resilience.pool import Shelf

    shelf = Shelf(held.target, held.reference, lambda: opened.state)
    rest = shelf.rest()
    kind, _, name = held.reference.partition(":")
    state: str = rest.why if rest else "alive"
    if kind == "env" and not opened.environ.get(name):
        state = "missing"
    left = None if rest is None else round(max(0.0, rest.until - opened.clock.now()), 3)
    return KeyHealth(held.reference, held.target.provider, held.models, state, left, shelf.uses())


def limits(opened: Services) -> list[Limit]:
    """Every limit that was in use since the machine started, those that hold requests back first."""
    return sorted(
        (Limit(model, what, round(wait, 3)) for model, what, wait in opened.paces.seen()),
        key=lambda each: (-each.wait_s, each.model, each.what),
    )


def alerts(opened: Services) -> list[dict[str, object]]:
    """How each rule stands; nothing is told. The broken ones first."""
    if not opened.profile.alerts:
        return []
    from llmctl.watch import Alerts, envelope, sentence

    order = ("firing", "pending", "ok")
    episodes = sorted(Alerts(opened).look(), key=lambda each: order.index(each.standing))
    return [{**envelope(each), "text": sentence(each)} for each in episodes]
