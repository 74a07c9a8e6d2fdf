"""How things stand, as page, Prometheus and programs are told, after real calls that went badly."""

from __future__ import annotations

import json
from pathlib import Path

from llmctl.batch.running import Running
from llmctl.batch.tally import Tally
from llmctl.health import health
from llmctl.services import Services
from llmctl.usage.report import Query
from llmctl.watching import exposition

from .conftest import Run
from .server.client import TestServer

PROFILE = """
extends: dev
models:
  main: {model: openai/gpt-4o-mini, keys: [env:FIRST_KEY, env:SECOND_KEY, env:THIRD_KEY]}
  down: {model: openai/gpt-4.1}
retry: {attempts: 3, base: 0.01}
breaker: {failures: 2, cooldown: 60}
limits: {rpm: 60}
budgets: [{limit: 10, per: day}, {limit: 10, per: day}]
alerts: [{metric: error_rate, over: 0.1, min_calls: 1}, {metric: avg_latency, over: 500, min_calls: 1}]
"""


def test_what_went_wrong_is_seen_everywhere(
    environ: dict[str, str], work: Path, home: Path, server: TestServer, llmctl: Run
) -> None:
    """An open breaker, a refused key, a broken rule: in one place, by the state that all processes share."""
    environ |= {"FIRST_KEY": "first-key", "SECOND_KEY": "second-key"}
    (work / "profiles").mkdir()
    (work / "profiles" / "bad.yaml").write_text(PROFILE)
    server.script(
        by_key={"first-key": {"default": "key_refused"}}, by_model={"gpt-4.1": {"default": "status:503"}}
    )
    assert llmctl("run", "-p", "bad", "hello").returncode == 0
    assert llmctl("run", "-p", "bad", "-m", "down", "hello").returncode == 5
    opened = Services(environ, name="bad", home=home, cwd=work)
    found = health(opened)
    assert found.profile == "bad"
    assert [(each.state, each.failures >= 2) for each in found.breakers] == [("open", True)]
    states = {each.reference: each.state for each in found.keys}
    assert states == {
        "env:FIRST_KEY": "refused",
        "env:SECOND_KEY": "alive",
        "env:THIRD_KEY": "missing",
        "env:OPENAI_API_KEY": "alive",
    }
    assert {(each.model, each.what) for each in found.limits} >= {("openai/gpt-4o-mini", "requests")}
    assert [(each["metric"], each["state"]) for each in found.alerts] == [
        ("error_rate", "firing"),
        ("avg_latency", "ok"),
    ]
    assert found.budgets[0].spent > 0
    text = json.dumps(found.envelope())
    assert "first-key" not in text
    assert "second-key" not in text

    running = Running(
        home, "run-1", Tally(), {"profile": "bad", "model": None, "input": "x.jsonl", "out": None}
    )
    running.tally.rows, running.tally.ok = 9, 4
    running.tick()
    lines = exposition(opened, Query()).splitlines()
    assert 'llmctl_alert_firing{alert="error_rate over 10 %"} 1' in lines
    assert 'llmctl_key_alive{reference="env:FIRST_KEY",provider="openai"} 0' in lines
    assert 'llmctl_batch_rows{run="run-1",input="x.jsonl",state="pending"} 5' in lines
    assert (
        sum(line.startswith("llmctl_budget_limit_usd{") for line in lines) == 1
    )  # two with one name are one
    assert any(line.startswith("llmctl_breaker_open{") and line.endswith(" 1") for line in lines)
    assert len(lines) == len(set(lines))
    opened.state.close()
