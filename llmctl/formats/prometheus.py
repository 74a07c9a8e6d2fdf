"""Metrics as Prometheus reads them: text format 0.0.4, names and units that stay.

Counters run from the ledger's beginning. The format is that of
https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llmctl.core.money import NANO
from llmctl.usage import rollup
from llmctl.usage.histogram import Samples
from llmctl.usage.metrics import DIVIDED, Metrics

if TYPE_CHECKING:
    from llmctl.health import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds; the upper ends of the histograms' buckets."""
Labels = tuple[tuple[str, str], ...]
COUNTERS = {
    "llmctl_requests_total": ("calls", "Requests asked of llmctl, those that a cache answered included."),
    "llmctl_cache_hits_total": ("hits", "Requests that a cache answered."),
    "llmctl_retries_total": ("retries", "Attempts after the first one of a request."),
    "llmctl_unpriced_requests_total": ("unpriced", "Requests whose cost is unknown and in no sum."),
}
"""Name of the metric -> the sum it shows, and what it means."""
TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cached_tokens",
    "reasoning": "reasoning_tokens",
}
MONEY = {
    "llmctl_cost_usd_total": ("cost", "What requests cost in US dollars, as far as it is known."),
    "llmctl_saved_usd_total": ("saved", "What requests answered by a cache would have cost in US dollars."),
}
HISTOGRAMS = {
    "llmctl_response_time_seconds": ("latency", "Time to the whole answer; no hits of a cache."),
    "llmctl_time_to_first_token_seconds": ("ttft", "Time to the first text of streamed answers."),
}


@dataclass(slots=True)
class Family:
    """One metric: samples by their labels, and for histograms the end of the name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def add(self, value: float, labels: Mapping[str, str] | None = None, suffix: str = "") -> None:
        """Adds to what has the same labels: two of them would be no text that Prometheus takes."""
        key = (suffix, tuple((labels or {}).items()))
        self.samples[key] = self.samples.get(key, 0) + value

    def put(self, value: float, labels: Mapping[str, str]) -> None:
        """Of several with the same labels the largest counts."""
        key = ("", tuple(labels.items()))
        self.samples[key] = max(value, self.samples.get(key, value))

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {_escaped(self.help, quote=False)}"
        yield f"# TYPE {self.name} {self.kind}"
        for (suffix, labels), value in self.samples.items():
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            yield f"{self.name}{suffix}{f'{{{inside}}}' if inside else ''} {_number(value)}"


def text(found: Metrics, health: Health, running: Iterable[Mapping[str, Any]], version: str) -> str:
    """All of it; `running` are batches as JSON objects."""
    families = [_build(version), *_counters(found), _errors(found), *_histograms(found), *_last(found)]
    families += [*_budgets(health), _breakers(health), _keys(health), _limits(health), _alerts(health)]
    families += [_batches(running)]
    return "\n".join(line for family in families if family.samples for line in family.lines()) + "\n"


def _build(version: str) -> Family:
    family = Family("llmctl_build_info", "gauge", "The version that tells this; always 1.")
    family.add(1, {"version": version})
    return family


def _counters(found: Metrics) -> Iterator[Family]:
    place = {name: number for number, name in enumerate(rollup.SUMS)}
    kinds = [
        (dict(zip(DIVIDED, key, strict=False)), key[-1], tally.sums) for key, tally in found.kinds.items()
    ]
    for name, (what, told) in COUNTERS.items():
        family = Family(name, "counter", told)
        for labels, status, sums in kinds:
            named = {**labels, "status": status} if what == "calls" else labels
            family.add(sums[place[what]], named)
        yield family
    family = Family(
        "llmctl_tokens_total", "counter", "Tokens; cached ones are part of input, reasoning of output."
    )
    for labels, _, sums in kinds:
        for kind, column in TOKENS.items():
            family.add(sums[place[column]], {**labels, "kind": kind})
    yield family
    for name, (what, told) in MONEY.items():
        family = Family(name, "counter", told)
        for labels, _, sums in kinds:
            family.add(sums[place[what]], labels)
        family.samples = {key: value / NANO for key, value in family.samples.items()}
        yield family


def _errors(found: Metrics) -> Family:
    family = Family("llmctl_errors_total", "counter", "Failed requests by type of error.")
    for kind, calls in found.errors.items():
        family.add(calls, {"type": kind})
    return family


def _histograms(found: Metrics) -> Iterator[Family]:
    for name, (what, told) in HISTOGRAMS.items():
        family = Family(name, "histogram", told)
        samples: dict[str, Samples] = {}
        for key, tally in found.kinds.items():
            samples.setdefault(key[DIVIDED.index("model")], Samples()).merge(getattr(tally, what))
        for model, each in samples.items():
            counts, count, total = each.cumulative(BOUNDS)
            if not count:
                continue
            for bound, at_most in zip(BOUNDS, counts, strict=True):
                family.add(at_most, {"model": model, "le": _number(bound)}, "_bucket")
            family.add(count, {"model": model, "le": "+Inf"}, "_bucket")
            family.add(total, {"model": model}, "_sum")
            family.add(count, {"model": model}, "_count")
        yield family


def _last(found: Metrics) -> Iterator[Family]:
    family = Family(
        "llmctl_last_success_timestamp_seconds", "gauge", "When the newest good request began, in Unix time."
    )
    if found.last_success is not None:
        family.add(found.last_success)
    yield family


def _budgets(health: Health) -> Iterator[Family]:
    told = {"limit": "may be spent", "spent": "has been spent", "reserved": "is reserved"}
    for what, said in told.items():
        family = Family(f"llmctl_budget_{what}_usd", "gauge", f"What {said} in the budget's period.")
        for each in health.budgets:
            labels = {"budget": each.name, "scope": each.scope, "per": each.per}
            family.put(getattr(each, what) / NANO, labels)
        yield family


def _breakers(health: Health) -> Family:
    family = Family("llmctl_breaker_open", "gauge", "1: open, 0.5: half-open, 0: closed.")
    for each in health.breakers:
        family.put({"closed": 0.0, "half-open": 0.5}.get(each.state, 1.0), {"breaker": each.name})
    return family


def _keys(health: Health) -> Family:
    family = Family("llmctl_key_alive", "gauge", "1: it may be used, 0: cooling, spent, refused or missing.")
    for each in health.keys:
        family.put(each.state == "alive", {"reference": each.reference, "provider": each.provider})
    return family


def _limits(health: Health) -> Family:
    family = Family(
        "llmctl_limit_wait_seconds", "gauge", "How long a request would wait for its turn under a rate limit."
    )
    for each in health.limits:
        family.put(each.wait_s, {"model": each.model, "limit": each.what})
    return family


def _alerts(health: Health) -> Family:
    family = Family("llmctl_alert_firing", "gauge", "1: the profile's rule is broken.")
    for each in health.alerts:
        family.put(float(each["state"] == "firing"), {"alert": str(each["name"])})
    return family


def _batches(running: Iterable[Mapping[str, Any]]) -> Family:
    family = Family("llmctl_batch_rows", "gauge", "Rows of running batches by how they stand.")
    for each in running:
        for state in ("ok", "failed", "refused", "pending"):
            labels = {"run": str(each["run_id"]), "input": str(each.get("input") or ""), "state": state}
            family.put(float(each[state]), labels)
    return family


def _escaped(value: str, *, quote: bool = True) -> str:
    safe = value.replace("\\", "\\\\").replace("\n", "\\n")
    return safe.replace('"', '\\"') if quote else safe


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
