"""The usage report as a table."""

from __future__ import annotations

from llmctl.core.money import Nanos, show_usd, to_usd
from llmctl.formats.report import Cell, Column, Row, Shown, Table
from llmctl.usage.report import Group, Report, Times

NUMBERS = (
    Column("calls", "right"),
    Column("ok", "right", extra=8),
    Column("failed", "right", extra=1),
    Column("cached", "right", extra=2),
    Column("hits", "right", "hit_rate", extra=7),
    Column("input", "right", "input_tokens", extra=3),
    Column("output", "right", "output_tokens", extra=3),
    Column("cost", "right", "cost_usd"),
    Column("saved", "right", "saved_usd", extra=4),
    Column("p50", "right", "latency_p50_s", extra=5),
    Column("p95", "right", "latency_p95_s", extra=5),
    Column("p99", "right", "latency_p99_s", extra=9),
    Column("ttft", "right", "ttft_p50_s", extra=6),
)
MORE = tuple(
    Column(name)
    for name in (
        *("cached_tokens", "reasoning_tokens", "attempts", "retries", "unpriced", "unsaved"),
        *("latency_mean_s", "ttft_mean_s", "ttft_p95_s", "ttft_p99_s"),
    )
)
"""What only programs read."""


def sheet(report: Report) -> Table:
    """As `table`, with every figure that there is and without the total, which is no row."""
    shown = table(report)
    rows = [[*row, *_more(group)] for row, group in zip(shown.rows, report.groups, strict=True)]
    return Table("", (*shown.columns, *MORE), rows)


def table(report: Report) -> Table:
    """A row for each group, the total below."""
    keys = report.query.by
    columns = (*(Column(name) for name in keys), *NUMBERS)
    rows = [[*(named(group.key[key]) for key in keys), *_numbers(group)] for group in report.groups]
    footer: Row = [*("total" if place == 0 else "" for place in range(len(keys))), *_numbers(report.total)]
    return Table("", columns, rows, footer if len(rows) > 1 else None, _note(report))


def _note(report: Report) -> str:
    if not report.groups:
        return "no calls"
    return priceless(report.total.unpriced)


def priceless(calls: int) -> str:
    """What a `?` means, and what to do about it."""
    if not calls:
        return ""
    count = "1 call" if calls == 1 else f"{calls:,} calls"
    return f"?: {count} of unknown cost: no price (declare one under prices in the profile) or no answer"


def named(said: str | None) -> Cell:
    """A key's value; `-` where it has none."""
    return Shown(None, "-") if said is None else said


def _numbers(group: Group) -> Row:
    return [
        group.calls, group.ok, group.failed, group.cached,
        Shown(group.hit_rate, "" if group.hit_rate is None else f"{group.hit_rate:.0%}"),
        group.input_tokens, group.output_tokens,
        money(group.cost, group.unpriced), money(group.saved, group.unsaved),
        *_times(group.latency), seconds(group.ttft.p50),
    ]  # fmt: skip


def _more(group: Group) -> Row:
    times = (group.latency.mean, group.ttft.mean, group.ttft.p95, group.ttft.p99)
    return [
        group.cached_tokens, group.reasoning_tokens, group.attempts, group.retries, group.unpriced,
        group.unsaved, *(None if each is None else round(each, 6) for each in times),
    ]  # fmt: skip


def money(known: Nanos | None, unknown: int) -> Shown:
    """`$1.23`, `$1.23 + ?` where a part is unknown, `?` where all of it is."""
    more = " + ?" if unknown and known is not None else ""
    return Shown(to_usd(known), show_usd(known) + more)


def _times(found: Times) -> list[Shown]:
    return [seconds(found.p50), seconds(found.p95), seconds(found.p99)]


def seconds(value: float | None) -> Shown:
    """`0.123 s`, `12.3 s`, `123 s`; nothing where nothing was measured."""
    if value is None:
        return Shown(None, "")
    return Shown(round(value, 6), f"{value:.0f} s" if value >= 100 else f"{value:.3g} s")
