"""Calls whose process died while they were out: they may have been billed, so they are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmctl.core.model import Attempt
from llmctl.usage.calls import calls
from llmctl.usage.lost import DAY_S, alive
from llmctl.usage.report import Query, report

from .kit import Kit, when

ROOT = Path(__file__).parents[2]
NOON = when("2026-11-22T12:00")
CODE = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from llmctl.core.model import Attempt
from tests.usage.kit import Kit
kit = Kit(Path(sys.argv[1]))
kit.number = 1000
kit.clock.time = {NOON}
kit.call({NOON}, cost=1)
request = kit.request(tag="ci")
kit.ledger.settled(kit.ledger.sent(request), Attempt("openai/a", {NOON}, 1.0, "server_error", 500, "yes", 20))
kit.ledger.sent(request)
print("sent", flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A ledger whose writer was killed in mid-call."""
    path = tmp_path / "ledger.db"
    with subprocess.Popen(
        [sys.executable, "-c", CODE, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "sent\n"
        before = report(path, Query(by=("status",)), now=NOON)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert before.total.calls == 1, "a call of a living process is not lost"
    return path


def test_a_killed_call_is_lost_and_told(killed: Path) -> None:
    """Nobody else will say that it may be on the bill."""
    found = report(killed, Query(by=("status", "tag"), tz="UTC"), now=NOON)
    lost = next(group for group in found.groups if group.key["status"] == "lost")
    assert lost.key == {"status": "lost", "tag": "ci"}
    assert (lost.calls, lost.ok, lost.failed, lost.attempts) == (1, 0, 1, 2)
    assert (lost.cost, lost.unpriced) == (20, 1)
    assert (found.total.calls, found.total.cost, found.total.unpriced) == (2, 21, 1)


def test_lost_calls_obey_window_filters_and_groups(killed: Path) -> None:
    """They are calls like any other."""
    for query, count in (
        (Query(since=NOON + 10), 0),
        (Query(until=NOON), 0),
        (Query(tag="ci"), 1),
        (Query(tag=""), 1),
        (Query(model="x/other"), 0),
        (Query(by=("hour", "run"), tz="America/New_York"), 2),
    ):
        assert report(killed, query, now=NOON).total.calls == count
    by_hour = report(killed, Query(by=("hour",), tz="America/New_York", tag="ci"), now=NOON)
    assert by_hour.groups[0].key == {"hour": "2026-11-22T07:00-05:00"}


def test_lost_calls_are_listed(killed: Path) -> None:
    """One line a call, these too."""
    found = calls(killed, Query(), now=NOON)
    assert [(call.status, call.billed, call.cost) for call in found] == [
        ("ok", "yes", 1),
        ("lost", "unknown", None),
    ]


def test_after_a_day_a_living_process_is_another_one(tmp_path: Path) -> None:
    """Process numbers come round again."""
    kit = Kit(tmp_path / "ledger.db")
    kit.clock.time = NOON
    kit.ledger.sent(kit.request())
    assert report(kit.path, Query(), now=NOON + DAY_S - 1).total.calls == 0
    assert report(kit.path, Query(), now=NOON + DAY_S + 1).total.calls == 1
    kit.done()


def test_an_attempt_left_open_by_an_answered_call_is_not_lost(tmp_path: Path) -> None:
    """The answer came by another attempt: the call is in the ledger already."""
    kit = Kit(tmp_path / "ledger.db")
    kit.clock.time = NOON
    request = kit.request()
    kit.ledger.sent(request)
    from llmctl.core.model import Response

    attempt = Attempt("openai/a", NOON, 1.0, cost=1)
    kit.ledger.record(request, Response("x", "openai/a", cost=1, tried=(attempt,)), 1.0)
    kit.done()
    assert report(kit.path, Query(), now=NOON + 2 * DAY_S).total.calls == 1


def test_who_is_alive() -> None:
    """A process of another user lives too."""
    assert alive(os.getpid())
    assert alive(1)
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    time.sleep(0)
    assert not alive(done.pid)
