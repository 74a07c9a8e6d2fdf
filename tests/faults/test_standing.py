"""FAULTS 36-40 and 44-53 with their aftermath: keys, 429, outages, one model in another's place."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest

from ..conftest import KEY
from ..server.client import TestServer, refused_url
from .standing import BROKEN, POOL, A, B, Table

# Keys


@pytest.mark.parametrize(("fault", "number"), [("key_refused", 36), ("permission", 40)])
def test_fault_36_and_40_one_key_refused_stops_the_batch(table: Table, fault: str, number: int) -> None:
    """No other row would fare better with that key: asking on would only look like an attack."""
    table.rows(300)
    table.server.script(default=fault)
    code, summary, err = table.batch("--concurrency", "5")
    assert code == 4
    assert summary["requests"] == len(table.server.log()) <= 5
    assert summary["pending"] == 300
    assert KEY not in err
    table.server.reset()
    assert table.batch("--concurrency", "5")[1]["ok"] == 300, "going on works"


def test_fault_37_a_refused_key_is_set_aside_for_a_good_one(table: Table) -> None:
    """One revoked key of a pool must cost one request, not the job; the next run knows it already."""
    table.profile(**POOL)
    table.server.script(by_key={A: {"default": "key_refused"}})
    done = table.run("run", "hello", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["attempts"] == 2
    assert table.keys_sent() == [A, B]
    assert table.run("run", "hello again").returncode == 0
    assert table.keys_sent() == [A, B, B]


def test_fault_37_in_a_batch(table: Table) -> None:
    """At most the rows in flight at the start meet the dead key."""
    table.profile(**POOL)
    table.rows(60)
    table.server.script(by_key={A: {"default": "key_refused"}})
    code, summary, _ = table.batch("--concurrency", "4")
    assert (code, summary["ok"]) == (0, 60)
    assert summary["requests"] == len(table.server.log()) <= 64


def test_fault_38_every_key_refused(table: Table) -> None:
    """The message names the references and holds no key; a new run finds a key that was mended."""
    table.profile(**POOL)
    table.server.script(default="key_refused")
    done = table.run("run", "hello")
    assert done.returncode == 4
    assert len(table.server.log()) == 2
    assert "env:KEY_A" in done.stderr
    assert "env:KEY_B" in done.stderr
    assert A not in done.stderr
    assert B not in done.stderr
    table.server.reset()
    assert table.run("run", "hello").returncode == 0


@pytest.mark.parametrize("fault", ["balance", "quota", "spend_limit"])
def test_fault_39_a_used_up_account_is_not_tried_again(table: Table, fault: str) -> None:
    """Money that is not there does not come by asking."""
    table.server.script(default=fault)
    assert table.run("run", "hello").returncode == 4
    assert len(table.server.log()) == 1


def test_fault_39_a_used_up_key_is_parked(table: Table) -> None:
    """The other key goes on, also in the next process; `keys status` says until when."""
    table.profile(**POOL)
    table.server.script(by_key={A: {"default": "quota"}})
    for word in ("one", "two"):
        assert table.run("run", word).returncode == 0
    assert table.keys_sent() == [A, B, B]
    states = {
        row["reference"]: row["state"]
        for row in json.loads(table.run("keys", "status", "--json").stdout)["keys"]
    }
    assert states == {"env:KEY_A": "spent", "env:KEY_B": "alive"}


def test_keys_take_turns(table: Table) -> None:
    """The least used goes first, among processes too."""
    table.profile(**POOL)
    for word in ("one", "two", "three", "four"):
        assert table.run("run", word).returncode == 0
    assert table.keys_sent() == [A, B, A, B]


def test_a_limited_key_cools_while_the_other_goes_on(table: Table) -> None:
    """A pool is there so that one key's 429 is not everybody's wait."""
    table.profile(**POOL)
    table.rows(40)
    table.server.script(by_key={A: {"queue": ["retry_after:30"] * 4}})
    began = time.monotonic()
    code, summary, _ = table.batch("--concurrency", "4")
    assert (code, summary["ok"]) == (0, 40)
    assert time.monotonic() - began < 20
    assert table.keys_sent().count(A) <= 4


def test_a_key_is_not_sent_to_another_models_house(
    table: Table, server: TestServer, other_server: TestServer
) -> None:
    """A fallback lives elsewhere, with a key of its own."""
    own = "sk-" + "c" * 20
    other = {"model": "hosted_vllm/mine", "api_base": other_server.openai, "keys": ["env:OWN"]}
    table.profile(models={**POOL["models"], "other": other}, fallback=["main", "other"])
    server.script(default="status:500")
    done = table.run("run", "hello", env={"OWN": own})
    assert done.returncode == 0, done.stderr
    assert [entry["headers"]["authorization"] for entry in other_server.log()] == [f"Bearer {own}"]
    assert own not in table.keys_sent()


# 429


def test_fault_44_a_bare_429_shrinks_the_window(table: Table) -> None:
    """A provider that takes few at once is asked few at once, and every row is answered."""
    table.profile(retry={"attempts": 12, "base": 0.05, "cap": 0.4})
    table.rows(300)
    table.server.script(queue=[None] * 40 + ["rate_limited"] * 20, latency=0.05)
    code, summary, _ = table.batch("--concurrency", "20")
    assert (code, summary["ok"]) == (0, 300)
    assert summary["requests"] == len(table.server.log()) == 320


@pytest.mark.parametrize(
    "fault",
    [
        "retry_after:2",
        "retry_after_date:2",
        "retry_after_ms:2000",
        "ratelimit_reset:2s",
        "ratelimit_reset_at:2",
    ],
)
def test_fault_45_to_47_the_row_waits_as_told_and_others_go_on(table: Table, fault: str) -> None:
    """Whatever the form: not a moment sooner, and nobody else waits for it."""
    table.rows(20)
    table.server.script(match=[{"contains": "row 3", "queue": [fault]}])
    code, summary, _ = table.batch("--concurrency", "4")
    assert (code, summary["ok"], summary["requests"]) == (0, 20, 21)
    log = table.server.log()
    first, second = (entry["t"] for entry in log if entry["body"]["messages"][0]["content"] == "row 3")
    assert second - first >= 2
    others = [entry["t"] for entry in log if entry["body"]["messages"][0]["content"] != "row 3"]
    assert max(others) < second


def test_fault_48_an_hour_is_not_waited_for(table: Table) -> None:
    """Giving up at once with the time to come back beats hanging until the deadline."""
    table.server.script(default="retry_after:3600")
    began = time.monotonic()
    done = table.run("run", "hello", "--json")
    assert done.returncode == 5
    assert time.monotonic() - began < 10
    error = json.loads(done.stdout)["error"]
    assert error["retry_after_s"] == 3600
    assert "60 min" in error["hint"]
    assert len(table.server.log()) == 1


@pytest.mark.parametrize("said", ["-5", "soon"])
def test_fault_49_nonsense_is_no_time(table: Table, said: str) -> None:
    """Our own back-off where the provider's word means nothing."""
    table.server.script(queue=[f"retry_after:{said}"])
    assert table.run("run", "hello").returncode == 0
    assert len(table.server.log()) == 2


# Outages


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 529, 408])
def test_fault_50_a_server_error_is_tried_again(table: Table, status: int) -> None:
    """A hiccup is not the user's matter."""
    table.server.script(queue=[f"status:{status}"])
    assert table.run("run", "hello").returncode == 0
    assert len(table.server.log()) == 2


def test_fault_51_an_outage_costs_little_and_going_on_works(table: Table) -> None:
    """500 rows against a dead provider: few requests, one line that says when and how, and then the rest."""
    table.profile(breaker={"failures": 5, "cooldown": 2}, timeout={"total": 5})
    table.rows(500)
    table.server.script(default="status:500")
    done = table.run("batch", "in.jsonl", "-o", "out.jsonl", "--concurrency", "16", "--json")
    # The cooldown is shorter than a call's total time, so that rows wait for the probe, which fails.
    summary = json.loads(done.stdout)
    requests = len(table.server.log())
    assert done.returncode == 5
    assert summary["requests"] == requests <= 550
    assert summary["stopped"]["type"] == "breaker_open"
    line = done.stderr.strip().splitlines()[-1]
    assert "the next try is due in" in line
    assert "to go on: llmctl batch in.jsonl" in line
    assert summary["pending"] + summary["failed"] == 500
    table.server.reset()
    time.sleep(2.1)
    code, after, _ = table.batch("--retry-failed")
    assert (code, after["ok"]) == (0, 500)


def test_fault_51_an_open_breaker_is_told_at_once(table: Table) -> None:
    """A shell loop stops hammering: the next process knows, says when, and asks nothing."""
    table.profile(retry={"attempts": 1})
    table.server.script(default="status:503")
    codes = [table.run("run", f"hello {n}").returncode for n in range(7)]
    assert codes == [5] * 7
    assert len(table.server.log()) == 5
    error = json.loads(table.run("run", "again", "--json").stdout)["error"]
    assert error["type"] == "breaker_open"
    assert 0 < error["retry_after_s"] <= 60
    seen = json.loads(table.run("breaker", "status", "--json").stdout)["breakers"]
    assert [(each["state"], each["failures"]) for each in seen] == [("open", 5)]
    assert json.loads(table.run("usage", "--json").stdout)["breakers"][0]["state"] == "open"
    assert "the breaker of openai/gpt-4o-mini" in table.run("usage").stderr
    checks = json.loads(table.run("doctor", "--json").stdout)["checks"]
    assert next(each for each in checks if each["name"] == "breaker of main")["ok"] is False
    table.server.reset()
    assert table.run("breaker", "reset").returncode == 0
    assert table.run("run", "again").returncode == 0


@pytest.mark.parametrize(
    "fault", ["status:400", "rate_limited", "content_policy", "key_refused", "empty_text"]
)
def test_an_answer_of_whatever_kind_opens_no_breaker(table: Table, fault: str) -> None:
    """Who refuses is there: only what says "down" counts."""
    table.profile(retry={"attempts": 1}, breaker={"failures": 2})
    table.server.script(default=fault)
    for n in range(3):
        table.run("run", f"hello {n}")
    assert len(table.server.log()) == 3


def test_a_refused_connection_opens_it_too(table: Table) -> None:
    """A host that is gone is down like one that answers 503."""
    table.profile(
        retry={"attempts": 1},
        breaker={"failures": 2},
        models={"main": {"model": "openai/gpt-4o-mini", "api_base": refused_url()}},
    )
    said = [table.run("run", f"hello {n}").stderr for n in range(3)]
    assert ["breaker is open" in each for each in said] == [False, False, True]


def test_fault_52_ten_shells_send_one_probe_a_cooldown(table: Table) -> None:
    """Whoever comes first finds out for all; no herd falls on a provider that tries to stand up."""
    table.profile(retry={"attempts": 1}, breaker={"failures": 2, "cooldown": 2})
    table.server.script(default="status:503")
    for n in range(2):
        table.run("run", f"hello {n}")
    opened = table.times()[-1]
    shells = [table.loop("run", "again", "-q") for _ in range(10)]
    table.until_asked(2 + 3)
    table.end_loops(shells)
    probes = table.times()[2:]
    assert len(probes) >= 3
    assert all(later - earlier >= 2 for earlier, later in pairwise([opened, *probes]))


def test_fault_52_a_probe_that_succeeds_closes_it_for_all(table: Table) -> None:
    """Rows of a batch wait for the probe, and then all go."""
    table.profile(retry={"attempts": 1}, breaker={"failures": 2, "cooldown": 2})
    table.server.script(queue=["status:503"] * 2)
    for n in range(2):
        table.run("run", f"hello {n}")
    table.rows(50)
    code, summary, _ = table.batch("--concurrency", "10")
    assert (code, summary["ok"], summary["requests"]) == (0, 50, 50)
    times = table.times()
    assert times[2] - times[1] >= 2
    assert all(at > times[2] for at in times[3:])


# One model in another's place


def test_fault_53_the_next_model_answers_and_says_so(table: Table) -> None:
    """The answer is there, and nobody takes it for the other model's."""
    table.profile(**BROKEN)
    table.server.script(by_model={"gpt-4o-mini": {"default": "status:500"}})
    found = json.loads(table.run("run", "hello", "--json").stdout)
    assert found["text"] == "echo: hello"
    assert found["model"] == "openai/gpt-4.1"
    assert found["attempts"] == 4
    assert found["warnings"] == ["answered by openai/gpt-4.1 (openai/gpt-4o-mini: server_error)"]
    assert table.models_asked() == ["gpt-4o-mini"] * 3 + ["gpt-4.1"]
    by_model = json.loads(table.run("usage", "--by", "model", "--json").stdout)["groups"]
    assert [group["key"]["model"] for group in by_model] == ["openai/gpt-4.1"]


def test_fault_53_the_well_one_is_not_slowed(table: Table) -> None:
    """Once it is known that one is down, its rows go straight to the other."""
    table.profile(**BROKEN)
    table.rows(300)
    table.server.script(by_model={"gpt-4o-mini": {"default": "status:500"}})
    code, summary, _ = table.batch("--concurrency", "8")
    assert (code, summary["ok"]) == (0, 300)
    models = table.models_asked()
    assert models.count("gpt-4.1") == 300
    assert models.count("gpt-4o-mini") <= 5 + 8
    assert {row["model"] for row in table.answers()} == {"openai/gpt-4.1"}
    assert summary["requests"] == len(models)


@pytest.mark.parametrize("fault", ["key_refused", "quota"])
def test_fault_53_a_dead_key_is_not_sent_again_where_another_model_answers(table: Table, fault: str) -> None:
    """Who tries a key on is locked out; only what was in flight by then meets it."""
    table.profile(**BROKEN)
    table.rows(60)
    table.server.script(by_model={"gpt-4o-mini": {"default": fault}})
    code, summary, _ = table.batch("--concurrency", "4")
    assert (code, summary["ok"]) == (0, 60)
    assert table.models_asked().count("gpt-4o-mini") <= 4
    assert table.models_asked().count("gpt-4.1") == 60


@pytest.mark.parametrize(
    ("fault", "first", "second"),
    [
        ("content_policy", 1, 1), ("context_too_long", 1, 1), ("finish:content_filter", 1, 1),
        ("quota", 1, 1),
        ("key_refused", 1, 1), ("rate_limited", 3, 1), ("cut_json", 3, 1), ("status:400", 1, 0),
        ("empty_text", 1, 0), ("model_not_found", 1, 0),
    ],
)  # fmt: skip
def test_what_is_passed_on_and_what_is_not(table: Table, fault: str, first: int, second: int) -> None:
    """Another model helps where this one cannot; a request that is wrong stays wrong."""
    table.profile(**BROKEN)
    table.server.script(by_model={"gpt-4o-mini": {"default": fault}})
    done = table.run("run", "hello", "--no-stream")
    assert (done.returncode == 0) is bool(second), done.stderr
    assert table.models_asked() == ["gpt-4o-mini"] * first + ["gpt-4.1"] * second


def test_a_budgets_refusal_is_not_passed_on(table: Table) -> None:
    """Another model's money is the same money."""
    table.profile(**BROKEN, budgets=[{"limit": 0.000001, "per": "day"}])
    assert table.run("run", "hello").returncode == 6
    assert not table.server.log()


def test_nothing_is_passed_on_once_text_was_shown(table: Table) -> None:
    """Two halves of two answers are no answer."""
    table.profile(**BROKEN)
    table.server.script(default="reset_in_stream:2")
    done = table.run("run", "one two three four", "--stream")
    assert done.returncode == 5
    assert table.models_asked() == ["gpt-4o-mini"]


def test_a_stand_ins_answer_is_not_stored_as_the_others(table: Table) -> None:
    """When the model is back, its own answer is wanted."""
    table.profile(**BROKEN, cache=True, retry={"attempts": 1})
    table.server.script(by_model={"gpt-4o-mini": {"queue": ["status:500"]}})
    models = [json.loads(table.run("run", "hello", "--json").stdout)["model"] for _ in range(3)]
    assert models == ["openai/gpt-4.1", "openai/gpt-4o-mini", "openai/gpt-4o-mini"]
    assert len(table.server.log()) == 3


def test_a_stand_in_gets_its_own_parameters_and_those_set_by_hand(table: Table) -> None:
    """The profile knows what suits each model; the user's own word counts for both."""
    models = {
        "main": {"model": "openai/gpt-4o-mini", "params": {"max_tokens": 11, "temperature": 0.1}},
        "other": {"model": "openai/gpt-4.1", "params": {"max_tokens": 22}},
    }
    table.profile(models=models, fallback=["main", "other"], retry={"attempts": 1})
    table.server.script(by_model={"gpt-4o-mini": {"default": "status:500"}})
    table.run("run", "hello", "-O", "seed=7", "-O", "top_p=null")
    body = table.server.log()[1]["body"]
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (22, 0.7, 7)
    assert "top_p" not in body
