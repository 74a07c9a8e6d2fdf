"""llmctl top: what goes on, live in the terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.core.errors import UsageError
from llmctl.formats.report import Look, look
from llmctl.formats.top import View, drawn, write
from llmctl.services import Services
from llmctl.usage.metrics import DIVIDED, metrics
from llmctl.usage.report import Query
from llmctl.usage.series import series
from llmctl.usage.times import iso

app = typer.Typer(rich_markup_mode=None, add_completion=False)

WINDOWS = (900.0, 3600.0, 86_400.0, 7 * 86_400.0)
KEYS = "q quit · w window · g group by"
BUSY = 10
"""A look that takes long is repeated the later: it may cost a tenth of the time."""
INTERRUPTED = 130


@dataclass
class Wish:
    """What is looked at; keys change it."""

    window: float
    by: str
    only: tuple[str | None, str | None, str | None]

    def follow(self, keys: str) -> bool:
        """Whether to go on."""
        for key in keys:
            if key == "q":
                return False
            if key == "w":
                longer = [each for each in WINDOWS if each > self.window]
                self.window = longer[0] if longer else WINDOWS[0]
            elif key == "g":
                self.by = DIVIDED[(DIVIDED.index(self.by) + 1) % len(DIVIDED)]
        return True


@app.callback(invoke_without_command=True)
def top(
    window: Annotated[
        str, typer.Option("--window", envvar="LLMCTL_TOP_WINDOW", help="How far back: 15m, 24h, 7d.")
    ] = "15m",
    by: Annotated[
        str, typer.Option("--by", envvar="LLMCTL_TOP_BY", help=f"A row for each {', '.join(DIVIDED)}.")
    ] = "model",
    every: Annotated[
        float, typer.Option("--every", min=0.2, max=3600, help="Seconds between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, written as plain lines.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", envvar="LLMCTL_TOP_MODEL", help="Only this model.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", envvar="LLMCTL_TOP_TAG", help="Only this tag; '' for none.")
    ] = None,
    only_profile: Annotated[
        str | None,
        typer.Option(
            "--only-profile", envvar="LLMCTL_TOP_ONLY_PROFILE", help="Only calls under this profile."
        ),
    ] = None,
) -> int:
    """Calls, times, money, errors, batches, budgets, breakers, alerts: live, or once without a terminal."""
    if every != every:  # NaN passes every bound
        raise UsageError("--every: not a number")
    wish = Wish(_seconds(window), _by(by), (only_profile, model, tag))
    opened = services()
    try:
        if current().json:
            from llmctl.formats.envelope import write_json

            write_json(view(opened, wish).envelope())
        elif once or not _is_live():
            write(view(opened, wish), sys.stdout, look(sys.stdout, os.environ))
        else:
            return _live(opened, wish, every)
    finally:
        opened.state.close()
    return 0


def _seconds(text: str) -> float:
    from llmctl.usage.times import AGO, UNITS

    found = AGO.match(text.strip().lower())
    if not found or not float(found[1]):
        raise UsageError(f"--window {text}: not a length of time", hint="for example 15m, 24h or 7d")
    return float(found[1]) * UNITS[found[2]]


def _by(name: str) -> str:
    if name not in DIVIDED:
        raise UsageError(f"--by {name}: there is no such grouping", hint=f"one of {', '.join(DIVIDED)}")
    return name


def _is_live() -> bool:
    """Whether the terminal can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def view(opened: Services, wish: Wish) -> View:
    """Everything as it stands now. StorageError where ledger or state cannot be read."""
    from llmctl.batch.running import batches
    from llmctl.health import alerts, budgets

    now = opened.clock.now()
    profile, model, tag = wish.only
    query = Query(now - wish.window, None, (), "UTC", profile, model, tag)
    ledger = opened.home / "ledger.db"
    return View(
        profile=opened.resolved.name,
        at=iso(int(now), None),
        window=wish.window,
        by=wish.by,
        metrics=metrics(ledger, query, now=now),
        series=series(ledger, query, now=now),
        budgets=budgets(opened),
        breakers=[
            (each.name, each.state, each.due) for each in opened.circuits.seen() if each.state != "closed"
        ],
        alerts=alerts(opened),
        batches=[each.envelope() for each in batches(opened.home, now=now)],
    )


def _live(opened: Services, wish: Wish, every: float) -> int:
    from rich.live import Live

    from llmctl.formats.styled import console

    shown = look(sys.stdout, os.environ)
    screen = console(sys.stdout, Look(shown.styled), colours=shown.styled)
    with pressing() as pressed, Live(console=screen, screen=True, auto_refresh=False) as live:
        try:
            while True:
                began = time.monotonic()
                found = view(opened, wish)
                live.update(drawn(found, Look(width=screen.width), KEYS), refresh=True)
                if not wish.follow(pressed(max(every, BUSY * (time.monotonic() - began)))):
                    return 0
        except KeyboardInterrupt:
            return INTERRUPTED


class Pressed:
    """Waits so many seconds at most for keys; '' where none was pressed."""

    def __init__(self, readable: bool) -> None:
        self._readable = readable

    def __call__(self, seconds: float) -> str:
        if not self._readable:
            time.sleep(seconds)
            return ""
        import select

        if not select.select([sys.stdin], [], [], seconds)[0]:
            return ""
        keys = os.read(sys.stdin.fileno(), 32)
        self._readable = bool(keys)
        return keys.decode("ascii", "replace").lower()


@contextmanager
def pressing() -> Iterator[Pressed]:
    """Keys come at once and unseen, where stdin is a terminal."""
    if not sys.stdin.isatty():
        yield Pressed(False)
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)
    try:
        yield Pressed(True)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
