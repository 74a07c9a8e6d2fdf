"""What the page and programs ask for, as objects ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmctl.batch.running import batches
from llmctl.core.errors import UsageError
from llmctl.formats.metrics import envelope
from llmctl.health import health
from llmctl.services import Services
from llmctl.usage import times
from llmctl.usage.extremes import extremes
from llmctl.usage.metrics import metrics
from llmctl.usage.report import Query
from llmctl.usage.schema import reading
from llmctl.usage.series import series
from llmctl.watching import exposition

PARAMETERS = {
    "since": "From when: `24h`, `7d`, `today`, a date, or ISO 8601. Default: the beginning.",
    "until": "To when, in the same words; a day or a month to its end. Default: now.",
    "profile": "Only calls under this profile.",
    "model": "Only this model.",
    "tag": "Only this tag; empty: calls without one.",
    "tz": "The zone of dates and answers, as Europe/Madrid. Default: the machine's own.",
}
"""What the addresses take, and what it means."""


class Api:
    """Answers over the ledger and state of `opened`. LlmctlError for what is wrong, as the commands."""

    def __init__(self, opened: Services) -> None:
        self.opened = opened
        self.ledger = opened.home / "ledger.db"

    def metrics(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """`/metrics/llm`: the figures of the window, and how things stand now."""
        query, where = self._query(asked)
        found = metrics(self.ledger, query, now=self._now())
        stands = health(self.opened).envelope()
        return {
            **envelope(found, where),
            **{name: stands[name] for name in ("budgets", "breakers", "limits")},
        }

    def series(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """`/api/series`: columns over time."""
        query, _ = self._query(asked)
        return series(self.ledger, query, now=self._now()).envelope()

    def calls(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """`/api/calls`: the slowest and the dearest."""
        query, where = self._query(asked)
        slowest, dearest = extremes(self.ledger, query)
        return {
            "slowest": [call.envelope(where) for call in slowest],
            "dearest": [call.envelope(where) for call in dearest],
        }

    def state(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """`/api/state`: budgets, breakers, keys, limits, alerts."""
        _known(asked, {})
        return health(self.opened).envelope()

    def batches(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """`/api/batches`: those that run, and those that ended within the hour."""
        _known(asked, {})
        return {"batches": [each.envelope() for each in batches(self.opened.home, now=self._now())]}

    def names(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """`/api/names`: what can be filtered by; '' stands for calls without a tag."""
        _known(asked, {})
        found: dict[str, list[str]] = {"profile": [], "model": [], "tag": []}
        if self.ledger.exists():
            with reading(self.ledger) as db:
                for name in found:
                    rows = db.execute(f"SELECT DISTINCT {name} FROM kinds ORDER BY 1")  # noqa: S608  # our own
                    found[name] = [row[0] for row in rows]
        return {"names": found}

    def prometheus(self, asked: Mapping[str, str]) -> str:
        """`/metrics`: the text that Prometheus reads."""
        _known(asked, {})
        return exposition(self.opened, Query())

    def _now(self) -> float:
        return self.opened.clock.now()

    def _query(self, asked: Mapping[str, str]) -> tuple[Query, times.Zone]:
        _known(asked, PARAMETERS)
        tz = asked.get("tz") or None
        where = times.zone(tz)
        now = self._now()
        since, until = asked.get("since"), asked.get("until")
        first = times.moment(since, now, where) if since else None
        last = times.moment(until, now, where, end=True) if until else None
        if first is not None and last is not None and first >= last:
            raise UsageError(f"since {since} is not before until {until}", hint="exchange them")
        profile, model = asked.get("profile") or None, asked.get("model") or None
        return Query(first, last, (), tz, profile, model, asked.get("tag")), where


def _known(asked: Mapping[str, str], names: Mapping[str, str]) -> None:
    for name in asked:
        if name not in names:
            hint = f"there are {', '.join(names)}" if names else "this address takes none"
            raise UsageError(f"there is no parameter {name!r}", hint=hint)
