"""How budgets stand, as a table with a bar for each."""

from __future__ import annotations

from collections.abc import Sequence

from llmctl.core.money import Nanos, show_usd, to_usd
from llmctl.formats.report import Column, Row, Shown, Table
from llmctl.usage.budgets import Status

BAR = 20
"""Columns of a full bar."""
SPENT, RESERVED, LEFT = "█", "▒", "·"
COLUMNS = (
    Column("budget", key="name"),
    Column("limit", "right", "limit_usd"),
    Column("spent", "right", "spent_usd", extra=1),
    Column("reserved", "right", "reserved_usd", extra=4),
    Column("left", "right", "left_usd"),
    Column("used", "right", extra=3),
    Column("", whole=True),
    Column("resets", key="resets_at", extra=2, whole=True),
    Column("state"),
)


def table(found: Sequence[Status]) -> Table:
    """A row for each budget."""
    return Table("", COLUMNS, [_row(each) for each in found], note="" if found else "no budgets")


def _row(each: Status) -> Row:
    used = 1.0 if not each.limit else (each.spent + each.reserved) / each.limit
    return [
        each.name,
        *(_money(amount) for amount in (each.limit, each.spent, each.reserved, each.left)),
        Shown(round(used, 4), f"{used:.0%}"),
        bar(each.spent, each.reserved, each.limit),
        Shown(each.resets_at, each.resets_at or "never"),
        each.state,
    ]


def _money(amount: Nanos) -> Shown:
    return Shown(to_usd(amount), show_usd(amount))


def bar(spent: Nanos, reserved: Nanos, limit: Nanos) -> str:
    """`████▒▒··············`: a sign is filled once its whole share is used; full only when all is."""
    cells = BAR if not limit else min(BAR, spent * BAR // limit)
    both = BAR if not limit else min(BAR, (spent + reserved) * BAR // limit)
    return SPENT * cells + RESERVED * (both - cells) + LEFT * (BAR - both)
