"""What people see while a batch runs, and the table at its end; all of it on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from llmctl.batch.tally import Tally
from llmctl.core.hidden import mask
from llmctl.core.money import show_usd

EVERY_S = 10.0
"""Without a terminal: a line every so often."""
LIVE_S = 0.25


class Progress:
    """Told regularly by the run; draws live on a terminal, else writes plain lines."""

    def __init__(self, tally: Tally, *, quiet: bool, live: bool) -> None:
        self.tally = tally
        self.quiet = quiet
        self.live: Any = _live() if live and not quiet else None
        self._last = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if self.quiet or now - self._last < (LIVE_S if self.live else EVERY_S):
            return
        self._last = now
        if self.live:
            self.live.update(line(self.tally))
        else:
            say(line(self.tally))

    def end(self) -> None:
        if self.live:
            self.live.stop()
            self.live = None


def _live() -> Any:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    class Line:
        """A display of one line that is drawn anew."""

        def __init__(self) -> None:
            self._live = Live(Text(""), console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()

        def update(self, text: str) -> None:
            self._live.update(Text(text))

        def stop(self) -> None:
            self._live.stop()

    return Line()


def say(text: str) -> None:
    sys.stderr.write(f"llmctl: {mask(text)}\n")
    sys.stderr.flush()


def line(tally: Tally) -> str:
    """`1,200 of 5,000 rows, 312.0/s, 1,198 ok, 2 failed, …, $0.12 of about $0.50, 12 s left`.

    The first number is of rows that are on the disk itself: those a power cut cannot take.
    """
    wall = max(time.monotonic() - tally.started, 1e-9)
    asked = tally.finished - tally.resumed
    rate = asked / wall
    parts = [
        f"{tally.durable:,} of {tally.rows:,} rows",
        f"{rate:,.1f}/s",
        f"{tally.ok:,} ok",
        f"{tally.failed:,} failed",
    ]
    if tally.cached:
        parts.append(f"{tally.cached:,} cached")
    retries = tally.requests - (asked - tally.cached - tally.deduplicated)
    if retries > 0:
        parts.append(f"{retries:,} retries")
    parts.append(f"{tally.input_tokens + tally.output_tokens:,} tokens")
    money = f"{show_usd(tally.cost)}{' + ?' if tally.unpriced else ''}"
    if asked and tally.pending:
        money += f" of about {show_usd(round(tally.cost * (asked + tally.pending) / asked))}"
    parts.append(money)
    if rate and tally.pending:
        parts.append(f"{spell(tally.pending / rate)} left")
    return ", ".join(parts)


def spell(seconds: float) -> str:
    """`45 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def table(tally: Tally) -> str:
    """The closing table, as plain aligned lines."""
    found = tally.envelope()
    latency = found["latency_s"]
    rows = [
        ("rows", f"{tally.rows:,}"),
        ("ok", f"{tally.ok:,}"),
        ("failed", f"{tally.failed:,}" + (f" ({tally.refused:,} more refused)" if tally.refused else "")),
        ("pending", f"{tally.pending:,}"),
        ("cached", f"{tally.cached:,}"),
        ("deduplicated", f"{tally.deduplicated:,}"),
        ("resumed", f"{tally.resumed:,}"),
        ("requests", f"{tally.requests:,}"),
        ("tokens", f"{tally.input_tokens:,} in, {tally.output_tokens:,} out"),
        (
            "cost",
            f"{show_usd(tally.cost)}"
            + (f" and {tally.unpriced:,} rows of unknown price" if tally.unpriced else ""),
        ),
        ("saved", show_usd(tally.saved)),
        ("time", f"{found['wall_s']:,.1f} s, {found['rows_per_s']:,.1f} rows/s"),
        ("latency", f"p50 {_seconds(latency['p50'])}, p95 {_seconds(latency['p95'])}"),
    ]
    return "\n".join(f"  {name:<13} {value}" for name, value in rows)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
