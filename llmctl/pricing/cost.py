"""Exact costs. A price is a table of nano-dollars per token; a cost is one sum, rounded once.

The sums are of whole numbers: prices in the smallest unit that any of their digits needs.

Providers bill a request whole at the rates of the longest threshold that its input passes (they do
not slice it), and at the rates of the service tier that it was served at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from llmctl.core.model import Usage
from llmctl.core.money import Nanos

ZERO = Decimal(0)
STANDARD = frozenset({"standard", "default", "auto", "standard_only"})
ALIASES = {"batch": "batches", "fast": "priority"}


@dataclass(frozen=True)
class Rates:
    """Nano-dollars per token of each kind. None: no price of its own, see the properties' fallback.

    `cached` and the writes fall back to `input`, `write_1h` to `write` first, `reasoning` to `output`,
    audio and image to the text of their direction, `cached_audio` to `cached`.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    write: Decimal | None = None
    write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_in: Decimal | None = None
    cached_audio: Decimal | None = None
    audio_out: Decimal | None = None
    image_in: Decimal | None = None
    image_out: Decimal | None = None

    def of(self, kind: str) -> Decimal:
        """The price of a kind after its fallbacks."""
        own: Decimal | None = getattr(self, kind)
        return self.of(FALLBACK[kind]) if own is None else own

    @cached_property
    def digits(self) -> int:
        """Decimal places of the longest price."""
        return max(_digits(self.of(kind)) for kind in KINDS)

    @cached_property
    def whole(self) -> Mapping[str, int]:
        """The price of each kind in units of 10 to the minus `digits` nano-dollars."""
        return {kind: int(self.of(kind).scaleb(self.digits)) for kind in KINDS}


def _digits(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))


FALLBACK = {
    "cached": "input",
    "write": "input",
    "write_1h": "write",
    "reasoning": "output",
    "audio_in": "input",
    "cached_audio": "cached",
    "audio_out": "output",
    "image_in": "input",
    "image_out": "output",
}
INPUT_KINDS = ("input", "write", "write_1h", "cached")
INPUT_MEDIA = ("audio_in", "cached_audio", "image_in")
OUTPUT_KINDS = ("output", "reasoning")
OUTPUT_MEDIA = ("audio_out", "image_out")
KINDS = INPUT_KINDS + INPUT_MEDIA + OUTPUT_KINDS + OUTPUT_MEDIA


@dataclass(frozen=True, slots=True)
class Step:
    """The rates of requests with more than `over` input tokens."""

    over: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Window:
    """A span of each of the days (1 is Monday) in UTC, in minutes; it wraps if `end` <= `start`."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Both bounds belong to the same day: a window that wraps has two spans in it."""
        if self.start < self.end:
            inside = self.start <= minute < self.end
        else:
            inside = minute >= self.start or minute < self.end
        return inside and day in self.days


@dataclass(frozen=True, slots=True)
class OffPeak:
    """Rates that hold for requests within any of the windows, whatever their length."""

    windows: tuple[Window, ...]
    rates: Rates

    def holds(self, at: float) -> bool:
        """Whether `at` (Unix seconds) is off-peak."""
        minutes = int(at // 60)
        day = (minutes // 1440 + 3) % 7 + 1  # 1 January 1970 was a Thursday
        return any(window.holds(day, minutes % 1440) for window in self.windows)


@dataclass(frozen=True, slots=True)
class Dearest:
    """The most that a token of either direction can cost, and a request besides, in parts of a nano."""

    unit: int
    """Parts that are one nano-dollar."""
    input: int
    output: int
    request: int


@dataclass(frozen=True)
class Price:
    """What a model costs.

    `steps` ascend and start at 0; `services` holds the same for the service tiers that have prices
    of their own (`batches`, `flex`, `priority`, …); `request` and `request_most` are nano-dollars
    that each request costs besides its tokens: usual and at most. `search` is what each search of the
    web costs at most, None where that is unknown; `searches` how many every request makes, which are
    in `request`.
    """

    steps: tuple[Step, ...]
    services: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    request: Decimal = ZERO
    request_most: Decimal = ZERO
    off_peak: OffPeak | None = None
    search: Decimal | None = None
    searches: int = 0

    @property
    def base(self) -> Rates:
        """The standard rates of a short request, which is what price lists show."""
        return self.steps[0].rates

    @property
    def free(self) -> bool:
        """Whether no token costs anything, as with a model on one's own machine."""
        return not self.request and all(
            not step.rates.of(kind) for step in self.steps for kind in ("input", "output")
        )

    def ladder(self, service: str | None) -> tuple[Step, ...]:
        """The steps of a service tier; the standard ones where it has no prices of its own."""
        if service is None or service in STANDARD:
            return self.steps
        return self.services.get(ALIASES.get(service, service), self.steps)

    def dearest(self, service: str | None, media: bool, input_tokens: int) -> Dearest:
        """Of all rates that a request with up to so many input tokens may have, of either tier."""
        ladder = self.ladder(service)
        both = self.steps if ladder is self.steps else (*ladder, *self.steps)
        passed = both
        if len(both) > 1:
            passed = tuple(step for step in both if step.over < input_tokens or step.over == 0)
        key = (service, media, len(passed))
        found = self._dearest.get(key)
        if found is None:
            found = self._dearest[key] = self._find_dearest([step.rates for step in passed], media)
        return found

    @cached_property
    def _dearest(self) -> dict[tuple[str | None, bool, int], Dearest]:
        return {}

    def _find_dearest(self, rates: Sequence[Rates], media: bool) -> Dearest:
        inputs = INPUT_KINDS + (INPUT_MEDIA if media else ())
        outputs = OUTPUT_KINDS + (OUTPUT_MEDIA if media else ())
        amounts = (
            max(rate.of(kind) for rate in rates for kind in inputs),
            max(rate.of(kind) for rate in rates for kind in outputs),
            max(self.request, self.request_most),
        )
        digits = max(map(_digits, amounts))
        return Dearest(10**digits, *(int(amount.scaleb(digits)) for amount in amounts))


FREE = Price((Step(0, Rates(ZERO, ZERO)),))


def cost(
    price: Price, usage: Usage, *, batch: bool = False, service: str | None = None, at: float | None = None
) -> Nanos:
    """What the usage costs, exact, rounded half to even once.

    `service` is the service tier that the answer names, `batch` stands for the provider's batch
    API, `at` is when the request was sent (Unix seconds), for prices that depend on the hour.
    """
    ladder = price.ladder("batches" if batch else service)
    if price.off_peak and ladder is price.steps and at is not None and price.off_peak.holds(at):
        return _at(price, price.off_peak.rates, usage)
    return _at(price, _rates(ladder, usage), usage)


def least(price: Price, usage: Usage, service: str | None = None) -> Nanos:
    """The least that the usage can cost: off-peak, or at the standard tier in the place of a dearer one."""
    rates = [_rates(price.ladder(service), usage), _rates(price.steps, usage)]
    if price.off_peak:
        rates.append(price.off_peak.rates)
    return min(_at(price, each, usage) for each in rates)


def _rates(ladder: Sequence[Step], usage: Usage) -> Rates:
    if len(ladder) == 1:
        return ladder[0].rates
    return [step.rates for step in ladder if usage.input_tokens > step.over or step.over == 0][-1]


def _at(price: Price, rates: Rates, usage: Usage) -> Nanos:
    whole = rates.whole
    if _is_rare(usage):
        total = sum(whole[kind] * tokens for kind, tokens in _split(usage) if tokens)
    else:  # nearly every call
        cached = min(usage.cached_tokens, usage.input_tokens)
        thought = min(usage.reasoning_tokens, usage.output_tokens)
        total = whole["cached"] * cached + whole["input"] * (usage.input_tokens - cached)
        total += whole["reasoning"] * thought + whole["output"] * (usage.output_tokens - thought)
    request = price.request
    if usage.searches:
        request += (price.search or ZERO) * max(0, usage.searches - price.searches)
    return _rounded(total, rates.digits, request)


def _rounded(total: int, digits: int, request: Decimal) -> Nanos:
    """Half to even, once, together with what the request costs besides its tokens."""
    if request:
        total, digits = _with(total, digits, request)
    if digits == 0:
        return total
    unit = int(10**digits)
    nanos, rest = divmod(total, unit)
    return nanos + int(2 * rest > unit or (2 * rest == unit and nanos % 2 == 1))


def _with(total: int, digits: int, more: Decimal) -> tuple[int, int]:
    """The sum in units small enough for both."""
    finer = max(digits, _digits(more))
    return total * 10 ** (finer - digits) + int(more.scaleb(finer)), finer


def _is_rare(usage: Usage) -> bool:
    """Whether any tokens are of audio, of images, or written to the cache."""
    return bool(
        usage.cache_write_tokens
        or usage.audio_input_tokens
        or usage.cached_audio_tokens
        or usage.image_input_tokens
        or usage.audio_output_tokens
        or usage.image_output_tokens
    )


def _split(usage: Usage) -> Iterator[tuple[str, int]]:
    """The tokens by kind, each token once: kinds that overlap give way in the order below."""
    left = usage.input_tokens
    cached_audio = min(usage.cached_audio_tokens, usage.cached_tokens)
    hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    for kind, tokens in (
        ("cached_audio", cached_audio),
        ("cached", usage.cached_tokens - cached_audio),
        ("write_1h", hour),
        ("write", usage.cache_write_tokens - hour),
        ("audio_in", usage.audio_input_tokens),
        ("image_in", usage.image_input_tokens),
    ):
        took = min(tokens, left)
        left -= took
        yield kind, took
    yield "input", left
    left = usage.output_tokens
    for kind, tokens in (
        ("audio_out", usage.audio_output_tokens),
        ("image_out", usage.image_output_tokens),
        ("reasoning", usage.reasoning_tokens),
    ):
        took = min(tokens, left)
        left -= took
        yield kind, took
    yield "output", left


def most(
    price: Price,
    input_tokens: int,
    max_output_tokens: int,
    *,
    media: bool = False,
    service: str | None = None,
) -> Nanos:
    """The most that a request can cost: what to reserve before it is sent, rounded up.

    `input_tokens` is an upper bound, so every threshold below it may or may not be passed: each
    token is taken at the dearest rate of any of them, written to the cache or not. `media` says
    that audio or images go in or may come out. A service tier may be refused and the standard one
    be served in its place, so the dearer of the two counts.
    """
    dear = price.dearest(service, media, input_tokens)
    total = dear.input * input_tokens + dear.output * max_output_tokens + dear.request
    return -(-total // dear.unit)
