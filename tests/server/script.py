"""Which fault a request gets."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from .answer import Ask, Json, require
from .faults import Spec, parse
from .limit import Limit

FIELDS = {"queue", "default", "by_key", "by_model", "match", "random", "latency", "headers", "limits"}


def _check(given: Json, fields: set[str]) -> Json:
    unknown = ", ".join(sorted(given.keys() - fields))
    require(not unknown, f"unknown field of a script: {unknown}; known: {', '.join(sorted(fields))}")
    return given


@dataclass(slots=True)
class Rule:
    """Specs used once each, in order; then the default, where there is one (None is a normal answer)."""

    queue: deque[Spec | None] = field(default_factory=deque)
    default: Spec | None = None
    has_default: bool = False

    @classmethod
    def of(cls, given: Json) -> Rule:
        """Fields other than these two are the caller's to check."""
        queue = deque(parse(each) for each in given.get("queue", ()))
        return cls(queue, parse(given.get("default")), "default" in given)

    @property
    def applies(self) -> bool:
        """Does it still decide anything?"""
        return bool(self.queue) or self.has_default

    def take(self) -> Spec | None:
        return self.queue.popleft() if self.queue else self.default


class Dice:
    """Faults by chance, the same ones for the same seed and order of requests."""

    def __init__(self, given: Json) -> None:
        self._random = random.Random(given.get("seed", 0))
        self._faults = [(float(chance), parse(spec)) for spec, chance in given.get("faults", {}).items()]

    def take(self) -> Spec | None:
        if not self._faults:
            return None
        drawn = self._random.random()
        for chance, spec in self._faults:
            drawn -= chance
            if drawn < 0:
                return spec
        return None


class Script:
    """The rules, from the narrowest to the widest: match, by_key, by_model, queue, random, default."""

    def __init__(self, given: Json) -> None:
        """Raises `Refused` or `ValueError` for what is no script."""
        _check(given, FIELDS)
        self.latency = float(given.get("latency", 0))
        self.headers: dict[str, str] = {name: str(value) for name, value in given.get("headers", {}).items()}
        self.limits = Limit(given["limits"]) if "limits" in given else None
        self._match = [
            (rule["contains"], Rule.of(_check(rule, {"contains", "queue", "default"})))
            for rule in given.get("match", ())
        ]
        self._by_key = {
            key: Rule.of(_check(rule, {"queue", "default"})) for key, rule in given.get("by_key", {}).items()
        }
        self._by_model = {
            model: Rule.of(_check(rule, {"queue", "default"}))
            for model, rule in given.get("by_model", {}).items()
        }
        self._rule = Rule.of(given)
        self._dice = Dice(_check(given.get("random", {}), {"seed", "faults"}))

    def pick(self, ask: Ask) -> Spec | None:
        """The fault of this request; side requests (a list of models) only have those of their key."""
        by_key = self._by_key.get(ask.key)
        if ask.fixed is not None:
            return by_key.take() if by_key else None
        narrow: list[Rule | None] = [rule for text, rule in self._match if text in ask.text]
        for rule in [*narrow, by_key, self._by_model.get(ask.model)]:
            if rule and rule.applies:
                return rule.take()
        if self._rule.queue:
            return self._rule.take()
        return self._dice.take() or self._rule.default
