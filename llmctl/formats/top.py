"""What `llmctl top` shows: lines and tables, drawn anew on a terminal or written once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from llmctl.core.money import show_usd
from llmctl.formats import budget
from llmctl.formats.chart import EIGHTHS
from llmctl.formats.report import Column, Look, Row, Shown, Table, render, visible
from llmctl.formats.table import shortened
from llmctl.formats.usage import money, seconds
from llmctl.usage.alerts import spell
from llmctl.usage.budgets import Status
from llmctl.usage.metrics import Metrics, tokens
from llmctl.usage.report import Group
from llmctl.usage.series import Point, Series

if TYPE_CHECKING:
    from rich.console import Group as Stack

MOST = 12
"""Rows of the table of models; the dearest are shown."""
ERRORS = 4
SPARKS = 60
BAR = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A text with a style of rich's, of no matter where there are no colours."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown; `alerts` and `batches` as in JSON, `breakers` (name, state, seconds until a try)."""

    profile: str
    at: str
    window: float
    by: str
    metrics: Metrics
    series: Series
    budgets: Sequence[Status]
    breakers: Sequence[tuple[str, str, float]]
    alerts: Sequence[Mapping[str, Any]]
    batches: Sequence[Mapping[str, Any]]

    def envelope(self) -> dict[str, Any]:
        """The object of `top --json`."""
        found = self.metrics
        return {
            "profile": self.profile,
            "at": self.at,
            "window_s": self.window,
            "total": found.total.envelope(),
            "errors": dict(found.errors),
            "by": self.by,
            "groups": [{**group.envelope(), "key": {self.by: name}} for name, group in self.groups()],
            "budgets": [each.envelope() for each in self.budgets],
            "breakers": [{"name": name, "state": state, "due_s": due} for name, state, due in self.breakers],
            "alerts": list(self.alerts),
            "batches": list(self.batches),
        }

    def groups(self) -> list[tuple[str, Group]]:
        return list(self.metrics.by(self.by).items())


def sections(view: View) -> Iterator[Line | Table]:
    """From what matters most to what may fall below the edge."""
    yield Line(f"llmctl top · profile {view.profile} · last {spell(view.window)} · {view.at}", "bold")
    yield from _figures(view.metrics)
    if sparks := spark(view.series):
        yield Line(f"calls {sparks}", "cyan")
    for each in view.alerts:
        if each["state"] != "ok":
            style = "bold red" if each["state"] == "firing" else "yellow"
            yield Line(f"{each['state']}: {each['text']}", style)
    for name, state, due in view.breakers:
        when = f", the next try in {due:.0f} s" if due else ""
        yield Line(f"breaker {state}: {name}{when}", "red")
    if view.batches:
        yield Line("")
        yield _batches(view.batches)
    yield Line("")
    yield _groups(view)
    if view.budgets:
        yield Line("")
        yield budget.table(view.budgets)


def _figures(found: Metrics) -> Iterator[Line]:
    total = found.total
    if not total.calls:
        yield Line("no calls")
        return
    assert found.success_rate is not None
    parts = [
        f"{total.calls:,} calls",
        f"{100 * found.success_rate:.3g} % ok",
        f"{total.failed:,} failed",
        f"{100 * (total.hit_rate or 0):.3g} % from the cache",
        f"{money(total.cost, total.unpriced).text}",
        f"{show_usd(total.saved)} saved",
        f"{found.tokens:,} tokens",
    ]
    yield Line(" · ".join(parts))
    latency = total.latency
    times = [("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99)]
    times += [("first token", total.ttft.p50)]
    said = [f"{name} {seconds(value).text}" for name, value in times if value is not None]
    if said:
        yield Line("time " + " · ".join(said))
    if found.errors:
        most = list(found.errors.items())[:ERRORS]
        yield Line("errors " + " · ".join(f"{name or '?'} {count:,}" for name, count in most), "red")


def spark(series: Series) -> str:
    """Calls over the window, the newest on the right: a sign a step, at most `SPARKS`."""
    if series.start >= series.end:
        return ""
    starts = range(series.start, series.end, series.step)[-SPARKS:]
    counts = [series.points.get(at, Point()).calls for at in starts]
    most = max(counts) or 1
    return "".join(EIGHTHS[-(-count * 8 // most)] if count else budget.LEFT for count in counts)


def _groups(view: View) -> Table:
    columns = (
        Column(view.by),
        Column("calls", "right"),
        Column("failed", "right"),
        Column("hits", "right", extra=2),
        Column("p50", "right", extra=3),
        Column("p95", "right", extra=1),
        Column("tokens", "right", extra=4),
        Column("cost", "right"),
    )
    found = view.groups()
    more = f"and {len(found) - MOST:,} more" if len(found) > MOST else ""
    return Table("", columns, [_group(name, group) for name, group in found[:MOST]], note=more)


def _group(name: str, group: Group) -> Row:
    return [
        name or Shown(None, "-"),
        group.calls,
        group.failed,
        Shown(group.hit_rate, f"{group.hit_rate or 0:.0%}"),
        seconds(group.latency.p50),
        seconds(group.latency.p95),
        tokens(group),
        money(group.cost, group.unpriced),
    ]


def _batches(batches: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("batch"),
        Column("state"),
        Column("", extra=1),
        Column("rows", "right"),
        Column("failed", "right"),
        Column("rows/s", "right", extra=2),
        Column("left", "right"),
        Column("cost", "right"),
    )
    return Table("", columns, [_batch(each) for each in batches])


def _batch(each: Mapping[str, Any]) -> Row:
    done, rows = int(each["finished"]), int(each["rows"])
    filled = BAR if not rows else BAR * done // rows
    left = each["left_s"]
    state = each["state"] if each["exit_code"] is None else f"exit {each['exit_code']}"
    return [
        str(each["input"] or "-"),
        state,
        budget.SPENT * filled + budget.LEFT * (BAR - filled),
        f"{done:,} of {rows:,}",
        each["failed"],
        f"{each['rows_per_s']:,.1f}",
        "" if left is None else spell(round(left)),
        show_usd(None if each["cost_usd"] is None else round(each["cost_usd"] * 1e9)),
    ]


def write(view: View, stream: TextIO, look: Look) -> None:
    """Once, from top to bottom."""
    for part in sections(view):
        if isinstance(part, Line):
            text = visible(part.text)
            stream.write((text if look.width is None else shortened(text, look.width)).rstrip() + "\n")
        else:
            render(part, "table", stream, Look(width=look.width))


def drawn(view: View, look: Look, keys: str) -> Stack:
    """For a live display, the meaning of its keys last."""
    from rich.console import Group as Stack
    from rich.text import Text

    from llmctl.formats.styled import grid

    parts: list[Any] = []
    for part in [*sections(view), Line(""), Line(keys, "dim")]:
        if isinstance(part, Table):
            parts.append(grid(part, look))
        else:
            parts.append(Text(visible(part.text), style=part.style, no_wrap=True, overflow="ellipsis"))
    return Stack(*parts)
