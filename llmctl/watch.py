"""Alerts at work: a profile's rules are read, judged and told, at the side of what is running."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from llmctl.core.errors import AuthError, LlmctlError
from llmctl.notify.destination import SLACK, Destination, destination, send, shown
from llmctl.notify.message import Kind, Message
from llmctl.usage import alerts, times
from llmctl.usage.alerts import Sources
from llmctl.usage.budgets import Budget, Status, statuses
from llmctl.usage.episodes import REMINDERS, Episode, Episodes, Mailbox, identity

if TYPE_CHECKING:
    from llmctl.services import Services

EVERY_S = 5.0
"""How often rules are looked at while calls come in."""
BUSY = 20
"""A look that takes long is repeated the later: it may cost a twentieth of the time."""
SEND_S = 6.0
"""How long one round of messages may take in all."""
END_S = 15.0
"""How long the end of a command waits for the last look and its messages."""
AGAIN_S = 60.0
"""How long a destination that did not take a message is left alone."""


class Alerts:
    """The rules of a profile over the ledger, state and budgets of `services`."""

    def __init__(self, services: Services) -> None:
        profile = services.profile
        self.rules = profile.alerts
        self.items = profile.notify
        self.profile = services.resolved.name
        self._key = profile.notify_key
        self._plain = profile.plain_http
        self._resolve: Callable[[str], str] = services.secrets.resolve
        self._now = services.clock.now
        self._budgets = [Budget(rule) for rule in profile.budgets]
        self.state = services.state
        self._episodes = Episodes(self.state)
        circuits = services.circuits
        self._sources = Sources(
            services.home / "ledger.db",
            self._statuses,
            lambda: [each.name for each in circuits.seen() if each.state != "closed"],
        )
        self._refuse()

    def _refuse(self) -> None:
        """ForbiddenAddress where a variable holds one; what is not there is told when it is needed."""
        for item in self.items:
            with suppress(AuthError):
                if item.removeprefix(SLACK).startswith("env:"):
                    destination(item, self._resolve, self._plain)

    def look(self) -> list[Episode]:
        """How every rule stands; nothing is kept or told. StorageError."""
        return self._each(self._episodes.look)

    def check(self) -> list[Episode]:
        """As `look`, kept: a rule that stays broken is one episode for all processes. StorageError."""
        return self._each(self._episodes.move)

    def _each(self, how: Callable[..., Episode]) -> list[Episode]:
        now = self._now()
        readings = self._sources.read(self.rules, now)
        return [how(rule, reading, now) for rule, reading in zip(self.rules, readings, strict=True)]

    def _statuses(self) -> list[Status]:
        return statuses(self._budgets, self.state, self._now()) if self._budgets else []

    def tell(self, episodes: Sequence[Episode]) -> list[str]:
        """Sends what is due, each thing once however many processes do this. What went wrong, in words."""
        until = time.monotonic() + SEND_S
        return [
            problem
            for item in self.items
            for episode in episodes
            if (problem := self._tell(item, episode, until)) is not None
        ]

    def test(self) -> list[tuple[str, str | None]]:
        """Sends a message to every destination: (shown, why it was not taken or None)."""
        now = self._now()
        text = f"{self._sender}: a test message; alerts will come here"
        message = Message(f"test-{round(now * 1000)}", "alert.test", now, "llmctl: test", text, {})
        until = time.monotonic() + SEND_S
        return [(shown(item), self._send(item, message, until)) for item in self.items]

    def _tell(self, item: str, episode: Episode, until: float) -> str | None:
        now = self._now()
        mailbox = Mailbox(self.state, episode.rule, item)
        number = mailbox.due(episode, now)
        if number is None or not mailbox.take(number):
            return None
        problem = self._send(item, self._message(episode, number, now), until)
        if problem is None:
            mailbox.heard(number)
            return None
        mailbox.missed(AGAIN_S)
        return f"{alerts.name(episode.rule)}: {shown(item)} was not told: {problem}"

    def _send(self, item: str, message: Message, until: float) -> str | None:
        try:
            to: Destination = destination(item, self._resolve, self._plain)
            key = None if self._key is None or to.kind == "apprise" else self._resolve(self._key)
        except LlmctlError as error:
            return error.message
        return send(to, message, key, until)

    @property
    def _sender(self) -> str:
        return f"llmctl {self.profile} on {os.uname().nodename}"

    def _message(self, episode: Episode, number: int, now: float) -> Message:
        memory, rule = episode.memory, episode.rule
        kind: Kind = "alert.resolved"
        if memory.firing:
            kind = "alert.reminder" if number % REMINDERS else "alert.firing"
        fired = memory.fired or now
        told = sentence(episode)
        if not memory.firing:
            told = f"resolved after {alerts.spell(max(0.0, now - fired))}: {told}"
        data = {
            **envelope(episode),
            "profile": self.profile,
            "host": os.uname().nodename,
            "fired_at": times.iso(fired, times.zone("UTC")),
        }
        return Message(
            f"alert-{identity(rule)}-{round(fired * 1000)}-{number}",
            kind,
            now,
            f"llmctl: {alerts.name(rule)}",
            f"{self._sender}: {told}",
            data,
        )


def sentence(episode: Episode) -> str:
    """`error_rate is 31 % (over 10 %), 42 calls in 15 min`."""
    rule, reading = episode.rule, episode.reading
    which = "under" if rule.under is not None else "over"
    title = f"{rule.name}: {rule.metric}" if rule.name else rule.metric
    if reading.value is None:
        said = f"{title} is not known"
    else:
        said = f"{title} is {alerts.shown(rule, reading.value)}"
    said += f" ({which} {alerts.shown(rule, alerts.limit(rule))})"
    if rule.metric not in alerts.STANDING:
        said += f", {reading.calls:,} calls in {alerts.spell(alerts.window(rule))}"
    return said


def envelope(episode: Episode) -> dict[str, object]:
    """A rule and how it stands, in JSON: times in seconds, shares from 0 to 1, money in USD."""
    rule, reading = episode.rule, episode.reading
    since = episode.since
    return {
        "name": alerts.name(rule),
        "metric": rule.metric,
        "over": alerts.limit(rule) if rule.under is None else None,
        "under": rule.under,
        "window_s": alerts.window(rule),
        "min_calls": rule.min_calls,
        "hold_s": rule.hold,
        "repeat_s": rule.repeat,
        "scope": {key: getattr(rule, key) for key in ("profile", "model", "tag")},
        "value": reading.value,
        "calls": reading.calls,
        "state": episode.standing,
        "since": None if since is None else times.iso(since, times.zone("UTC")),
    }


class Watch:
    """Looks at the rules from a thread of its own: `poke` it when calls came in, `end` it at the end.

    Nothing in here harms what is watched: what goes wrong is a warning, once.
    """

    def __init__(self, services: Services) -> None:
        self.alerts = Alerts(services)
        self._warn = services.warn
        self._poked, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="llmctl alerts", daemon=True)
        self._warned: set[str] = set()

    def poke(self) -> None:
        if not self._poked.is_set():
            self._poked.set()
            if self._thread.ident is None:
                self._thread.start()

    def end(self) -> None:
        """A last look; its messages are waited for, but not for long."""
        self._ended.set()
        self._poked.set()
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join(END_S)

    def _run(self) -> None:
        while True:
            self._poked.wait()
            last = self._ended.is_set()
            self._poked.clear()
            began = time.monotonic()
            self._look()
            if last:
                self.alerts.state.close()
                return
            self._ended.wait(max(EVERY_S, BUSY * (time.monotonic() - began)))

    def _look(self) -> None:
        try:
            episodes = self.alerts.check()
            for episode in episodes:
                if episode.began or episode.ended:
                    self._warn(f"alert{' is over' if episode.ended else ''}: {sentence(episode)}")
            problems = self.alerts.tell(episodes)
        except LlmctlError as error:
            problems = [f"alerts were not checked: {error.message}"]
        except Exception as error:  # noqa: BLE001  # a bug of ours here must not take the run with it
            problems = [f"alerts were not checked: {type(error).__name__}"]
        for problem in problems:
            if problem not in self._warned:
                self._warned.add(problem)
                self._warn(problem)
