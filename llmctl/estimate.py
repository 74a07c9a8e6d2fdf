"""What a run or a batch would send, and what it would cost: the same walk over the same rows, nothing sent.

Every row is composed, told from its doubles, looked for in the journal and in the cache just as the
batch does it, and measured as it would leave: after redaction, with its schema in the text where the
model takes none. Memory does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from llmctl.ask import compose
from llmctl.batch.ids import check_ids
from llmctl.batch.index import Known
from llmctl.batch.job import Composer, Job
from llmctl.batch.rows import Row, parse
from llmctl.batch.source import Source
from llmctl.batch.store import finished
from llmctl.core.canonical import fingerprint
from llmctl.core.errors import BudgetError, LlmctlError
from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.money import Nanos, to_usd
from llmctl.pricing.cost import Price
from llmctl.pricing.estimate import Forecast, History, Question, Range, Sums, Verdict, verdict
from llmctl.pricing.reservation import ALONG, choices, has_media, output_limit
from llmctl.pricing.searches import Searches, searches
from llmctl.pricing.tokens import Meter
from llmctl.services import Services
from llmctl.stages.cascade import steps
from llmctl.usage.budgets import Status, statuses
from llmctl.usage.history import Histories
from llmctl.usage.ledger import chars


@dataclass(frozen=True, slots=True)
class Line:
    """The requests to one model; `step` counts from 0, later ones are a cascade's."""

    model: str
    step: int
    tokenizer: str
    exact: bool
    history: History | None
    sums: Sums

    def envelope(self) -> dict[str, Any]:
        history = self.history
        return {
            "model": self.model,
            "step": self.step,
            "requests": self.sums.requests,
            "input_tokens": self.sums.input_tokens,
            "tokenizer": self.tokenizer,
            "exact": self.exact,
            "output_tokens": tokens_of(self.sums.output),
            "cost_usd": usd_of(self.sums.cost),
            "expected_from": {"calls": history.calls, "of": history.of} if history else "rule",
        }


@dataclass(frozen=True, slots=True)
class Share:
    """How a budget stands, and what of the estimate is its own; `needs` None is unknown."""

    status: Status
    needs: Nanos | None

    @property
    def verdict(self) -> Verdict:
        return verdict(self.needs, self.status.left)

    def envelope(self) -> dict[str, Any]:
        return {**self.status.envelope(), "needs_usd": to_usd(self.needs), "verdict": self.verdict}


@dataclass(slots=True)
class Estimate:
    """`rows` is the sum of the five below it; `invalid` rows cannot be asked at all."""

    rows: int = 0
    invalid: int = 0
    finished: int = 0
    duplicates: int = 0
    cached: int = 0
    to_send: int = 0
    reason: str | None = None
    """Why the first of the invalid rows is one."""
    lines: Sequence[Line] = ()
    budgets: Sequence[Share] = ()

    @property
    def total(self) -> Sums:
        """All requests together."""
        total = Sums()
        for line in self.lines:
            total += line.sums
        return total

    @property
    def verdict(self) -> Verdict:
        found = {share.verdict for share in self.budgets}
        if "over" in found:
            return "over"
        return "unpriced" if "unpriced" in found or self.total.cost.most is None else "fits"

    @property
    def exit_code(self) -> int:
        """6 where a budget would stop it: what has no price is only refused under one."""
        return 6 if any(share.verdict != "fits" for share in self.budgets) else 0

    def envelope(self) -> dict[str, Any]:
        """The object of `estimate --json`; money in USD, unknown is null."""
        total = self.total
        return {
            "rows": self.rows,
            "duplicates": self.duplicates,
            "cached": self.cached,
            "finished": self.finished,
            "invalid": self.invalid,
            "to_send": self.to_send,
            "input_tokens": total.input_tokens,
            "output_tokens": tokens_of(total.output),
            "cost_usd": usd_of(total.cost),
            "verdict": self.verdict,
            "budgets": [share.envelope() for share in self.budgets],
            "models": [line.envelope() for line in self.lines],
        }


def tokens_of(found: Range) -> dict[str, int | None]:
    return {"low": found.low, "expected": found.expected, "most": found.most}


def usd_of(found: Range) -> dict[str, float | None]:
    return {"low": to_usd(found.low), "expected": to_usd(found.expected), "most": to_usd(found.most)}


def of_prompt(services: Services, job: Job) -> Estimate:
    """What `run` would cost. LlmctlError where the prompt could not be asked."""
    walk = Walk(services, job)
    request = compose(services, job.ask)
    walk.found.rows = 1
    walk.ask(request)
    return walk.end()


def of_file(services: Services, job: Job, source: Source) -> Estimate:
    """What `batch` would cost. ConfigError where the whole file cannot be asked."""
    template = job.ask.recipe.renderer is not None
    count = 0

    def ids() -> Iterator[tuple[str, int]]:
        nonlocal count
        count = 0
        for raw in source.raw_rows():
            row = parse(raw, template)
            count += 1
            yield row.id, row.line

    check_ids(ids, source.name)
    walk = Walk(services, job, count)
    for raw in source.raw_rows():
        if job.takes(raw.number):
            walk.row(parse(raw, template))
        elif job.limit is not None and raw.number >= job.limit:
            break
    return walk.end()


class Kind(NamedTuple):
    """Requests that are forecast alike; `counted` are the places of the budgets that count them."""

    model: str
    step: int
    counted: tuple[int, ...]
    history: History | None


class Model(NamedTuple):
    """What is worked out once a model."""

    price: Price | None
    meter: Meter


class _Arrived(Exception):
    """A request has come down to where it would be recorded, looked up and sent."""

    def __init__(self, request: Request) -> None:
        self.request = request


async def _arrive(request: Request) -> Response:
    raise _Arrived(request)


@dataclass
class Walk:
    """One pass over requests.

    Doubles are found as the batch's journal finds them, in `Known`: 64 bits of each identity in a file
    without a name. A set of a million such numbers would hold some 70 MB; two different requests of a
    million fall together with a chance of 3 in 100 million, and one too few is estimated then.
    """

    services: Services
    job: Job
    expected: int = 1
    found: Estimate = field(default_factory=Estimate)

    def __post_init__(self) -> None:
        self._composer = Composer(self.services, self.job.ask)
        self._seen = Known(None, self.expected)
        self._finished = finished(self.job)
        self._budgets = [budget for purse in self.services.purses for budget in purse.budgets]
        self._histories = Histories(self.services.home / "ledger.db")
        self._models: dict[str, Model] = {}
        self._forecasts: dict[Kind, Forecast] = {}

    def row(self, row: Row) -> None:
        """A row of a batch."""
        self.found.rows += 1
        try:
            if row.error is not None:
                raise row.error
            request = self._composer.request(row)
            key = fingerprint(request)
            if self._finished is not None and self._finished.get(key):
                self.found.finished += 1
            elif self._seen.get(key) is not None:
                self.found.duplicates += 1
            else:
                self._seen.put(key, 0)
                self.ask(replace(request, fingerprint=key))
        except LlmctlError as error:
            self.found.invalid += 1
            self.found.reason = self.found.reason or f"row {row.number}: {error.message}"

    def ask(self, request: Request) -> None:
        """A request that nobody has asked yet; LlmctlError where a stage refuses it."""
        first, *later = steps(request)
        down = self._down(first)
        if request.cache == "use" and self._is_cached(down):
            self.found.cached += 1
            return
        self.found.to_send += 1
        known = self._add(down, 0, None)
        for place, step in enumerate(later, 1):
            self._add(self._down(step), place, known)

    def end(self) -> Estimate:
        """The estimate, under the budgets as they stand now."""
        self._seen.close()
        if self._finished is not None:
            self._finished.close()
        needs = [Sums() for _ in self._budgets]
        for kind, forecast in self._forecasts.items():
            for place in kind.counted:
                needs[place] += forecast.sums
        self.found.lines = self._lines()
        self.found.budgets = shares(self.services, [each.needs for each in needs])
        return self.found

    def _is_cached(self, request: Request) -> bool:
        store = self.services.cache
        return store is not None and store.get(fingerprint(request)) is not None

    @cached_property
    def _send(self) -> Send:
        from llmctl.pipeline import down_to
        from llmctl.stages.record import record

        return down_to(self.services, record, _arrive)

    def _down(self, request: Request) -> Request:
        """The request as the ledger, the cache and the provider would see it."""
        waiting = self._send(request)
        try:
            waiting.send(None)  # type: ignore[attr-defined]  # a coroutine; nothing up there ever waits
        except _Arrived as arrived:
            return arrived.request
        raise AssertionError("a stage above the record waits")

    def _add(self, request: Request, step: int, first: History | None) -> History | None:
        """Counts the request among its kind, whose history is given back; `first` is the cascade's first."""
        target = request.target
        model = self._models.get(target.model) or self._learn(target.model)
        history = self._histories.find(target.model, request.profile, request.tag, request.template)
        counted = tuple(place for place, budget in enumerate(self._budgets) if budget.counts(request))
        kind = Kind(target.model, step, counted, history)
        forecast = self._forecasts.get(kind)
        if forecast is None:
            forecast = Forecast(model.price, model.meter.tokenizer.own, history)
            self._forecasts[kind] = forecast
        forecast.add(self._question(request, model), climb_rate(first, history) if step else None)
        return history

    def _learn(self, name: str) -> Model:
        model = Model(self.services.prices.price(name), Meter(name))
        self._models[name] = model
        return model

    def _question(self, request: Request, model: Model) -> Question:
        params = request.params
        measured = model.meter.measure(
            request.messages, request.schema, *(params.get(name) for name in ALONG)
        )
        service = params.get("service_tier")
        longest: int | None = None
        reserved: Nanos | None = None
        searched: Searches | None = None
        with suppress(BudgetError):  # no limit, or no price: unknown
            longest = output_limit(request, self.services.prices)
            if model.price is not None:
                searched = searches(request, model.price, self.services.prices.info)
            reserved = self.services.most(request) if self._budgets else None
        return Question(
            texts=measured.texts,
            tokens=measured.tokens,
            chars=chars(request.messages),
            longest=longest,
            choices=choices(params),
            media=has_media(request.messages),
            service=service if isinstance(service, str) else None,
            reserved=reserved,
            searches=searched,
        )

    def _lines(self) -> list[Line]:
        """The forecasts by model and history; which budgets count them makes no line of its own."""
        merged: dict[tuple[int, str, History | None], Sums] = {}
        for kind, forecast in self._forecasts.items():
            merged.setdefault((kind.step, kind.model, kind.history), Sums()).__iadd__(forecast.sums)
        lines = []
        for (step, name, history), sums in sorted(merged.items(), key=lambda item: item[0][:2]):
            tokenizer = self._models[name].meter.tokenizer
            lines.append(Line(name, step, tokenizer.name, tokenizer.own, history, sums))
        return lines


def climb_rate(first: History | None, later: History | None) -> float:
    """How often a cascade's later step was asked for each of the first's calls; 0 where nothing is known."""
    if first is None or later is None or first.of != later.of:
        return 0.0
    return min(1.0, later.calls / first.calls)


def shares(services: Services, needs: Sequence[Nanos | None]) -> list[Share]:
    """Every budget in force, --max-cost first, with what is needed of it; `needs` in the same order."""
    now = services.clock.now()
    found = [status for purse in services.purses for status in statuses(purse.budgets, purse.open(), now)]
    return [Share(status, need) for status, need in zip(found, needs, strict=True)]
