"""The ledger call by call."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

from llmctl.core.model import Usage
from llmctl.usage.calls import calls
from llmctl.usage.report import Query

from .kit import Kit, when

NOON = when("2026-11-22T12:00")


def test_the_newest_is_last_and_the_limit_keeps_the_newest(tmp_path: Path) -> None:
    """What just happened stands above the prompt, as in a log."""
    kit = Kit(tmp_path / "ledger.db")
    for hour in (3, 1, 5, 2, 4):
        kit.call(NOON + hour * 3600, tag=str(hour))
    kit.done()
    assert [call.tag for call in calls(kit.path, Query())] == ["1", "2", "3", "4", "5"]
    assert [call.tag for call in calls(kit.path, Query(), 2)] == ["4", "5"]
    window = Query(since=NOON + 2 * 3600, until=NOON + 4 * 3600)
    assert [call.tag for call in calls(kit.path, window)] == ["2", "3"]
    assert [call.tag for call in calls(kit.path, Query(tag="3"))] == ["3"]


def test_a_call_says_all_that_is_known(tmp_path: Path) -> None:
    """Scripts look single calls up: names as in the other envelopes, money and times with units."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, cost=1500, ttft=0.25, usage=Usage(9, 8, 7, 6, estimated=True), tag="ci")
    kit.failed(NOON + 1)
    kit.call(NOON + 2, hit="semantic", cost=None)
    kit.done()
    ok, failed, hit = (call.envelope(UTC) for call in calls(kit.path, Query()))
    assert ok == {
        "id": "1",
        "at": "2026-11-22T12:00:00+00:00",
        "run_id": "r",
        "profile": "dev",
        "model": "openai/a",
        "asked": "openai/a",
        "provider": "openai",
        "tag": "ci",
        "template": None,
        "status": "ok",
        "error": None,
        "finish_reason": "stop",
        "usage": {
            "input_tokens": 9,
            "output_tokens": 8,
            "cached_tokens": 7,
            "reasoning_tokens": 6,
            "estimated": True,
        },
        "cost_usd": 0.0000015,
        "saved_usd": 0.0,
        "billed": "yes",
        "cached": False,
        "attempts": 1,
        "latency_s": 1.0,
        "ttft_s": 0.25,
    }
    assert (failed["status"], failed["error"], failed["cost_usd"]) == ("failed", "server_error", 0)
    assert (hit["cached"], hit["cost_usd"], hit["saved_usd"]) == ("semantic", 0, None)


def test_no_ledger_has_no_calls(tmp_path: Path) -> None:
    """Looking makes no file."""
    assert calls(tmp_path / "ledger.db", Query()) == []
    assert not list(tmp_path.iterdir())
