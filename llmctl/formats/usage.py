"""The usage report as a table."""

from __future__ import annotations

from llmctl.core.money import Nanos, show_usd, to_usd
from llmctl.formats.report import Cell, Column, Row, Shown, Table
from llmctl.usage.report import Group, Report, Times

NUMBERS = (
    ("calls", "calls"), ("ok", "ok"), ("failed", "failed"), ("cached", "cached"), ("hits", "hit_rate"),
    ("input", "input_tokens"), ("output", "output_tokens"), ("cost", "cost_usd"), ("saved", "saved_usd"),
    ("p50", "latency_p50_s"), ("p95", "latency_p95_s"), ("p99", "latency_p99_s"), ("ttft", "ttft_p50_s"),
)  # fmt: skip


def table(report: Report) -> Table:
    """A row for each group, the total below."""
    keys = report.query.by
    columns = [Column(name) for name in keys] + [Column(name, "right", key) for name, key in NUMBERS]
    rows = [[*(_name(group.key[key]) for key in keys), *_numbers(group)] for group in report.groups]
    footer: Row = [*("total" if place == 0 else "" for place in range(len(keys))), *_numbers(report.total)]
    return Table("", tuple(columns), rows, footer if len(rows) > 1 else None, _note(report))


def _note(report: Report) -> str:
    if not report.groups:
        return "no calls"
    return "" if not report.total.unpriced else f"?: the price of {report.total.unpriced:,} calls is unknown"


def _name(said: str | None) -> Cell:
    return Shown(None, "-") if said is None else said


def _numbers(group: Group) -> Row:
    return [
        group.calls, group.ok, group.failed, group.cached,
        Shown(group.hit_rate, "" if group.hit_rate is None else f"{group.hit_rate:.0%}"),
        group.input_tokens, group.output_tokens,
        money(group.cost, group.unpriced), money(group.saved, group.unsaved),
        *_times(group.latency), _seconds(group.ttft.p50),
    ]  # fmt: skip


def money(known: Nanos | None, unknown: int) -> Shown:
    """`$1.23`, `$1.23 + ?` where a part is unknown, `?` where all of it is."""
    more = " + ?" if unknown and known is not None else ""
    return Shown(to_usd(known), show_usd(known) + more)


def _times(found: Times) -> list[Shown]:
    return [_seconds(found.p50), _seconds(found.p95), _seconds(found.p99)]


def _seconds(value: float | None) -> Shown:
    if value is None:
        return Shown(None, "")
    return Shown(round(value, 6), f"{value:.0f} s" if value >= 100 else f"{value:.3g} s")
