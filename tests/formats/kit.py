"""Names that try to be more than names."""

from __future__ import annotations

from llmctl.usage.report import Group, Query, Report, Times

HOSTILE = (
    "[/x]",
    "[bold red]gpt[/bold red]",
    ":smile:",
    "<script>alert(1)</script>",
    "\u202eevil\u202c",
    "two\nlines\r\n",
    "\x1b]0;title\x07\x1b[31mred",
    "\x9b31m",
    "emoji 🎉 汉字",
    'quotes " and, commas',
    "=HYPERLINK(1)",
    "| pipe | `code` | *bold* | [link](http://x)",
    "]]>&amp;<!--",
    "a\u0301\u200b\u2066",
)


def group(key: dict[str, str | None], calls: int = 1, cost: int | None = 1_000_000, **more: int) -> Group:
    times = Times(1.0, 1.0, 2.0, 2.0)
    return Group(key=key, calls=calls, ok=calls, cost=cost, attempts=calls, latency=times, ttft=times, **more)


def report_of(*groups: Group, by: tuple[str, ...] = ("model",), tz: str | None = "UTC") -> Report:
    """A report of these groups, its total the sum of what tests look at."""
    costs = [found.cost for found in groups if found.cost is not None]
    total = group(
        {},
        sum(found.calls for found in groups),
        sum(costs) if costs else None,
        unpriced=sum(found.unpriced for found in groups),
    )
    return Report(Query(by=by, tz=tz), groups, total)


def hostile() -> Report:
    return report_of(*(group({"model": name}) for name in HOSTILE))
