"""What the providers' recorded usages cost, through the whole command: wire, ledger, bill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from llmctl import Client
from llmctl.pricing.book import FETCHED
from llmctl.services import Services
from llmctl.usage.calls import calls
from llmctl.usage.report import Query

from ..conftest import KEY, Run
from ..pricing.test_cost import CASES, HERE, READERS
from ..server.client import TestServer

HOUSES = ("mistral", "deepseek", "xai", "dashscope", "perplexity", "ollama")
PATIENT = "extends: dev\ntimeout: {connect: 90, first: 90, idle: 90, total: 120}\n"
"""While litellm is loaded, on a busy machine for long, nobody else gets a turn."""
PEAK = 1_795_427_999.0
"""A Monday 09:59:59 UTC: no provider's cheaper hours."""


@pytest.fixture
def priced(home: Path, environ: dict[str, str], server: TestServer) -> dict[str, str]:
    """A home with the prices that the hand calculations use, and every house on loopback."""
    (home / "prices").mkdir(parents=True)
    (home / "prices" / FETCHED).write_bytes((HERE / "prices.json").read_bytes())
    for house in HOUSES:
        environ |= {f"{house.upper()}_API_KEY": KEY, f"{house.upper()}_API_BASE": server.openai}
    environ["OLLAMA_API_BASE"] = server.ollama
    return environ


def usable(streamed: bool) -> list[dict[str, Any]]:
    """The usages that the test server can tell as they are: one object, of a call sent now."""
    return [
        case
        for case in CASES
        if len(case["usage"]) == 1
        and bool(case.get("streamed")) is streamed
        and not case.get("batch")
        and "at" not in case
        and not case["model"].startswith("ollama/")
    ]


def told(case: dict[str, Any]) -> str:
    """The server's answer with that usage, served at that tier."""
    tier = f"+service:{case['service']}" if "service" in case and case["format"] == "openai" else ""
    return f"usage_raw:{json.dumps(case['usage'][0])}{tier}"


@pytest.mark.slow
def test_a_batch_of_recorded_usages_is_billed_to_the_nano_dollar(
    llmctl: Run, priced: dict[str, str], work: Path, home: Path, server: TestServer
) -> None:
    """Row, ledger and report each say what the hand calculation says."""
    cases = usable(streamed=False)
    assert len(cases) >= 55
    server.script(match=[{"contains": f"case {n}.", "default": told(case)} for n, case in enumerate(cases)])
    rows = [{"prompt": f"case {n}.", "model": case["model"]} for n, case in enumerate(cases)]
    (work / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "profiles").mkdir()
    (work / "profiles" / "patient.yaml").write_text(PATIENT)
    done = llmctl(
        "batch", "in.jsonl", "-o", "out.jsonl", "-p", "patient", "--no-cache", "--json", timeout=180
    )
    assert done.returncode == 0, done.stdout
    out = [json.loads(line) for line in (work / "out.jsonl").read_text().splitlines()]
    for case, row in zip(cases, out, strict=True):
        assert round(row["cost_usd"] * 1e9) == case["nanos"], (case["name"], case["note"])
    booked = sorted(call.cost or 0 for call in calls(home / "ledger.db", Query()))
    assert booked == sorted(case["nanos"] for case in cases)
    total = json.loads(llmctl("usage", "--json").stdout)["total"]
    assert round(total["cost_usd"] * 1e9) == sum(booked)


def test_a_stream_is_billed_as_its_last_chunk_says(
    priced: dict[str, str], work: Path, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usage comes after the text, where it is easily missed."""
    monkeypatch.chdir(work)
    cases = [case for case in usable(streamed=True) if case["format"] == "openai"]
    assert len(cases) >= 4
    with Client("dev", environ=priced) as client:
        for case in cases:
            server.script(default=told(case) + "+usage_with_finish")  # nobody has to be asked for it
            stream = client.stream("hello", model=case["model"], cache=False)
            assert "".join(stream)
            assert stream.response.cost == case["nanos"], case["note"]


@pytest.mark.parametrize("case", [case for case in CASES if not case.get("batch")], ids=lambda c: c["name"])
def test_the_bill_knows_tier_and_hour(priced: dict[str, str], home: Path, case: dict[str, Any]) -> None:
    """What the answer names as its tier, and when it was asked, are part of its price."""
    from llmctl.providers.usage import served

    usage = READERS[case["format"]](*case["usage"])
    assert usage is not None
    services = Services(priced, name="dev", home=home)
    usage = served(usage, case.get("service"), None)
    assert services.price(case["model"], case["model"], usage, case.get("at", PEAK)) == case["nanos"]


@pytest.mark.parametrize(
    ("said", "asked", "nanos"),
    [
        ("+service:priority", None, 10 * 4250 + 4 * 17_000),
        ("+service:default", "priority", 10 * 2500 + 4 * 10_000),
        ("", "priority", 10 * 2500 + 4 * 10_000),
    ],
)
def test_the_tier_that_served_is_the_one_that_is_paid_and_repriced(
    llmctl: Run, priced: dict[str, str], home: Path, server: TestServer, said: str, asked: str, nanos: int
) -> None:
    """A downgraded request costs less than was asked for; a later look at prices knows its tier."""
    server.script(default='usage_raw:{"prompt_tokens": 10, "completion_tokens": 4}' + said)
    tier = ("-O", f"service_tier={asked}") if asked else ()
    done = llmctl("run", "hello", "-m", "openai/gpt-4o", "--json", *tier, "--max-cost", "1")
    assert round(json.loads(done.stdout)["cost_usd"] * 1e9) == nanos
    repriced = json.loads(llmctl("usage", "reprice", "--json").stdout)["total"]
    assert (repriced["changed"], repriced["difference_usd"]) == (0, 0)
    (call,) = calls(home / "ledger.db", Query(), now=time.time())
    assert call.cost == nanos
