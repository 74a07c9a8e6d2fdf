"""What new prices change, model by model."""

from __future__ import annotations

from llmctl.core.money import show_usd, to_usd
from llmctl.formats.report import Column, Row, Shown, Table
from llmctl.formats.usage import money
from llmctl.usage.reprice import Line, Money, Repriced


def table(found: Repriced) -> Table:
    """A row for each model: what was booked, what it would be, and the difference."""
    columns = (
        Column("model"),
        Column("calls", "right"),
        Column("changed", "right", extra=1),
        Column("old", "right", "old_usd"),
        Column("new", "right", "new_usd"),
        Column("difference", "right", "difference_usd"),
        Column("saved", "right", "old_saved_usd", extra=3),
        Column("saved now", "right", "new_saved_usd", extra=2),
    )
    total = found.total
    if not found.lines:
        note = "no answers to price"
    elif found.applied:
        note = f"{total.changed:,} calls changed in the ledger"
    else:
        note = f"{total.changed:,} calls would change; the ledger is as it was (--apply writes them)"
    footer = _repriced(total, "total") if len(found.lines) > 1 else None
    return Table("", columns, [_repriced(line, line.model) for line in found.lines], footer, note)


def _repriced(line: Line, name: str) -> Row:
    sign = "+" if line.difference > 0 else ""
    return [
        name,
        line.calls,
        line.changed,
        _sum(line.old),
        _sum(line.new),
        Shown(to_usd(line.difference), sign + show_usd(line.difference)),
        _sum(line.old_saved),
        _sum(line.new_saved),
    ]


def _sum(found: Money) -> Shown:
    return money(found.known if found.known or not found.unknown else None, found.unknown)
