"""Models, their prices and the choice among them, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from llmctl.core.money import show_usd, to_usd
from llmctl.formats.report import Cell, Column, Shown, Table
from llmctl.pricing.choose import Choice
from llmctl.pricing.models import Model, rates
from llmctl.pricing.update import Changes

LIST = (
    Column("model"),
    Column("context", "right"),
    Column("output", "right", "max_output"),
    Column("in / M", "right", "input_usd_per_million"),
    Column("out / M", "right", "output_usd_per_million"),
    Column("abilities"),
)
NAMED = 5
"""How many models of a kind of change are named."""


def listed(models: Sequence[Model]) -> Table:
    """A row for each model; prices in USD per million tokens."""
    rows = [
        [m.name, _size(m.context), _size(m.longest), usd(m.input), usd(m.output), ", ".join(m.shown)]
        for m in models
    ]
    return Table("", LIST, rows, note=f"{len(rows):,} models" if rows else "no such models")


def facts(model: Model, more: Sequence[tuple[str, Cell]]) -> Table:
    """One model, a fact a row."""
    rows: list[tuple[str, Cell]] = [
        ("context", _size(model.context)),
        ("max output", _size(model.longest)),
        ("abilities", ", ".join(model.shown) or "none known"),
        *more,
    ]
    return Table("", (Column("model"), Column(model.name)), rows)


def prices(model: Model) -> Table:
    """Everything that a token of the model may cost."""
    found = rates(model.price) if model.price else []
    columns = (Column("tokens"), Column("when"), Column("per million", "right", "usd_per_million"))
    note = "" if found else "its price is unknown: declare it under prices in the profile"
    return Table("", columns, [(rate.kind, rate.when, usd(rate.usd)) for rate in found], note=note)


def choice(found: Choice) -> Table:
    """Every candidate with what it would cost, and why it is or is not the one."""
    columns = (
        Column("candidate"), Column("model"), Column("fits"), Column("cost", "right", "cost_usd"),
        Column("most", "right", "most_usd"), Column("verdict"),
    )  # fmt: skip
    rows = []
    for each in found.verdicts:
        said = "chosen" if each is found.chosen else each.refused or "dearer"
        cost, most = (Shown(to_usd(amount), show_usd(amount)) for amount in (each.cost, each.most))
        rows.append((each.candidate.name, each.candidate.model, each.fits, cost, most, said))
    return Table("", columns, rows)


def changed(found: Changes) -> Table:
    """How many models a new price file adds, removes and prices otherwise, the first by name."""
    told = (
        ("new", found.added), ("gone", found.removed), ("dearer", found.dearer), ("cheaper", found.cheaper),
        ("changed otherwise", found.other),
    )  # fmt: skip
    rows = [
        (what, len(names), ", ".join(names[:NAMED]) + (", …" if names[NAMED:] else ""))
        for what, names in told
    ]
    note = f"{found.models:,} models, prices of {found.before} replaced by {found.after}"
    return Table(
        "", (Column("models"), Column("", "right", "count"), Column("", key="names")), rows, note=note
    )


def usd(amount: float | None) -> Shown:
    """`$0.15`, `$0.125`: two decimals, more where it has them."""
    if amount is None:
        return Shown(None, "?")
    whole, _, rest = f"{amount:,.6f}".partition(".")
    return Shown(amount, f"${whole}.{rest.rstrip('0').ljust(2, '0')}")


def _size(tokens: int | None) -> Cell:
    return Shown(None, "?") if tokens is None else tokens
