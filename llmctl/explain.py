"""Why a prompt would be answered out of the cache, or would not: nothing is sent, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmctl.core.canonical import fingerprint, parts
from llmctl.core.errors import ConfigError
from llmctl.core.model import Request, Response
from llmctl.services import Services
from llmctl.stages.semantic import asked

LOOKED_AT = 20_000
"""Stored answers, the newest, whose requests are compared."""
NEAREST = 3
AGAINST = {
    "numbers": "other numbers",
    "names": "other names",
    "negations": "another negation",
    "quotes": "other quotes, code, signs or addresses",
    "a word": "a word more, less or other",
    "the order of words": "another order of words",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a request, as asked here and as it was asked there; hashes stand for texts."""

    part: str
    here: Any
    there: Any


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored prompt that is near: its cosine, and what speaks against its answer (None: nothing)."""

    cosine: float
    why: str | None


@dataclass(slots=True)
class Explained:
    """`hit` is `exact`, `semantic` or None; `differs` from the stored request that is nearest, if any is."""

    hit: str | None
    reason: str
    saved: int | None = None
    differs: list[Difference] = field(default_factory=list)
    near: list[Neighbour] = field(default_factory=list)


def explain(services: Services, request: Request) -> Explained:
    """What `run` would find in the cache."""
    store = services.cache
    if store is None:
        return Explained(None, "the profile turns the cache off")
    request = arrived(services, request)
    found = store.get(fingerprint(request))
    if found is not None:
        return Explained("exact", "the very same was asked before", found.cost)
    near, answer = _near(services, request)
    if answer is not None:
        reason = f"nearly the same was asked before (cosine {near[0].cosine:.3f})"
        return Explained("semantic", reason, answer.cost, near=near)
    differs = nearest(parts(request), store.described(LOOKED_AT))
    if differs is None:
        return Explained(None, "nothing is stored that it could be compared with", near=near)
    if not differs:
        return Explained(None, "the nearest stored request was made by another version of llmctl", near=near)
    names = ", ".join(each.part for each in differs)
    return Explained(None, f"the nearest stored request differs in: {names}", differs=differs, near=near)


def arrived(services: Services, request: Request) -> Request:
    """The request as the cache would see it."""
    from llmctl.pipeline import down_to
    from llmctl.stages.record import record

    seen: list[Request] = []

    async def end(request: Request) -> Response:
        seen.append(request)
        raise ConfigError("arrived")

    waiting = down_to(services, record, end)(request)
    try:
        waiting.send(None)  # type: ignore[attr-defined]  # a coroutine; nothing up there ever waits
    except (ConfigError, StopIteration):
        if not seen:
            raise
    return seen[0]


def nearest(here: Mapping[str, Any], stored: Any) -> list[Difference] | None:
    """What differs from the stored request that differs least, the newest of several; None without any."""
    best: list[Difference] | None = None
    for there in stored:
        names = [*here, *(name for name in there if name not in here)]
        differs = [
            Difference(name, here.get(name), there.get(name))
            for name in names
            if here.get(name) != there.get(name)
        ]
        if best is None or len(differs) < len(best):
            best = differs
    return best


def _near(services: Services, request: Request) -> tuple[list[Neighbour], Response | None]:
    """The nearest prompts, and the answer that would be served; nothing where the profile does not look."""
    question = asked(request)
    if services.near is None or services.cache is None or question is None:
        return [], None
    found, rule = [], services.profile.cache.semantic
    for key, cosine, why in services.near.compare(services.near.question(*question)):
        answer = services.cache.get(key)
        if answer is None:
            continue
        if why is None and cosine < rule.threshold:
            why = f"the cosine is below {rule.threshold:g}"
        found.append(Neighbour(cosine, AGAINST.get(why, why) if why else None))
        if why is None and rule.mode == "serve":
            return [found[-1]], answer
        if len(found) == NEAREST:
            break
    return found, None
