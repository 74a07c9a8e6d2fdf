"""FAULTS in numbers: bad hours, providers of a pace that nobody tells, limits that processes share."""

from __future__ import annotations

import json
import time

import pytest

from .standing import Table, all_of, most_within

MIX = {
    "retry_after:1": 0.06, "status:500": 0.06, "reset_before_headers": 0.06, "stall_in_body": 0.06,
    "cut_json": 0.06,
}  # fmt: skip


@pytest.mark.slow
def test_thirty_percent_faults_of_all_kinds(table: Table) -> None:
    """A bad hour is ridden out: every row ends well, at little more than its own request."""
    table.profile(
        retry={"attempts": 10, "base": 0.05, "cap": 0.5}, timeout={"first": 2, "idle": 2, "total": 60}
    )
    table.rows(1000)
    table.server.script(random={"seed": 11, "faults": MIX})
    code, summary, err = table.batch("--concurrency", "50")
    assert (code, summary["ok"]) == (0, 1000), err
    assert summary["requests"] == len(table.server.log()) <= 1600
    seen: dict[str, dict[str, object]] = {}
    for entry in table.server.log():
        prompt = entry["body"]["messages"][0]["content"]
        before = seen.get(prompt)
        if before is not None and before["fault"] == "retry_after:1":
            assert entry["t"] - before["t"] >= 1
        seen[prompt] = entry


@pytest.mark.slow
def test_refusals_by_chance_do_not_slow_a_batch(table: Table) -> None:
    """One answer in twelve fails, whatever is in flight: hardly slower than none, none paid twice."""
    table.profile(retry={"attempts": 6})
    table.rows(2000)
    few = {"retry_after:1": 0.05, "status:500": 0.02, "reset_before_headers": 0.01}
    seconds = []
    for faults in ({}, few):
        table.server.reset()
        table.server.script(latency=0.2, random={"seed": 5, "faults": faults})
        code, summary, err = table.batch("--concurrency", "200", "--restart")
        assert (code, summary["ok"]) == (0, 2000), err
        assert table.server.stats()["by_status"]["200"] == 2000
        seconds.append(summary["wall_s"])
    assert seconds[1] < seconds[0] + 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "limits", [{"at_once": 8}, {"per_second": 40, "burst": 10}, {"at_once": 24, "fault": "retry_after:1"}]
)
def test_the_pace_of_a_provider_is_found(table: Table, limits: dict[str, object]) -> None:
    """Nothing is known and nothing told but refusals: few of them, and nearly all that it takes is used."""
    table.profile(retry={"attempts": 5})
    table.rows(240)
    for home in ("one", "other"):  # neither knows anything; a busy machine may bunch one's requests
        table.server.reset()
        table.server.script(latency=0.1, limits=limits)
        code, summary, _ = table.batch("--home", home, "--restart")
        assert (code, summary["ok"]) == (0, 240)
        if summary["requests"] < 1.4 * 240:
            break
    assert summary["requests"] < 1.4 * 240
    times = table.times()
    assert times[-1] - times[0] < 2 * 240 / 40


# Rate limits


@pytest.mark.slow
def test_processes_share_one_limit(table: Table) -> None:
    """Four shells under 300 a minute: together no faster than one, and hardly slower."""
    table.rows(400)
    began = time.monotonic()
    started = [
        table.start("batch", "in.jsonl", "-o", f"out{n}.jsonl", "--rpm", "300", "-q", "--limit", "15")
        for n in range(4)
    ]
    assert [code for code, _ in all_of(started)] == [0] * 4
    took = time.monotonic() - began
    times = table.times()
    assert len(times) == 60
    warm = times[4:]  # the first of each process arrives late: it still loads what it sends with
    assert warm[-1] - warm[0] >= 55 * 0.2 - 1
    assert most_within(warm, 5.0) <= 5 * 5 + 3
    assert took < 20


@pytest.mark.slow
def test_four_processes_under_600_a_minute(table: Table) -> None:
    """Never over it in any 60 s window, and at least 95 % of it used."""
    table.rows(400)
    started = [
        table.start("batch", "in.jsonl", "-o", f"out{n}.jsonl", "--rpm", "600", "-q") for n in range(4)
    ]
    time.sleep(80)
    for process in started:
        process.terminate()
    all_of(started)
    times = table.times()
    assert most_within(times, 60.0) <= 600
    assert most_within(times, 60.0) >= 570


def test_what_is_waited_for_a_turn_is_no_part_of_the_total(table: Table) -> None:
    """A limit of one's own must not time out one's own rows."""
    table.profile(timeout={"total": 2}, limits={"rpm": 120})
    table.rows(10)
    code, summary, _ = table.batch()
    assert (code, summary["ok"]) == (0, 10)
    assert summary["wall_s"] > 3


def test_what_waited_for_its_turn_is_still_tried_again(table: Table) -> None:
    """A row that waited longer than a call's total has had none of it yet when its first attempt fails."""
    table.profile(timeout=2, limits={"rpm": 120})
    table.rows(9)
    table.server.script(match=[{"contains": "row 8", "queue": ["status:500"]}])
    code, _, err = table.batch("--concurrency", "9")
    assert code == 0, err
    assert table.answers()[8]["attempts"] == 2


def test_loading_a_providers_knowledge_is_no_part_of_the_total(table: Table) -> None:
    """It takes seconds that the provider has not had: a short total would mean that nothing is ever sent."""
    table.profile(models={"main": "anthropic/claude-sonnet-4-5"}, timeout=1)
    done = table.run("run", "hello")
    assert (done.returncode, done.stdout) == (0, "echo: hello\n"), done.stderr


def test_loading_a_providers_knowledge_holds_nobody_up(table: Table) -> None:
    """The rows of other models are asked meanwhile; their time limits must not run out over it."""
    table.profile(models={"main": "anthropic/claude-sonnet-4-5", "other": "openai/gpt-4o-mini"})
    rows = [{"prompt": f"row {n}", "model": "other" if n % 2 else "main"} for n in range(20)]
    (table.work / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert table.batch("--concurrency", "20")[0] == 0
    assert table.models_asked() == ["gpt-4o-mini"] * 10 + ["claude-sonnet-4-5"] * 10


def test_tokens_a_minute_are_kept_and_corrected(table: Table) -> None:
    """Reserved by estimate: the first is asked alone, then what answers really take sets the pace."""
    table.rows(30)
    code, summary, _ = table.batch("--tpm", "6000")
    assert (code, summary["ok"]) == (0, 30)
    used = summary["usage"]["input_tokens"] + summary["usage"]["output_tokens"]
    assert used < 6000


def test_a_quota_that_is_used_up_is_waited_out(table: Table) -> None:
    """The provider said so before it had to refuse; another process knows it too."""
    table.server.script(queue=["ratelimit:0/100/3s"])
    assert table.run("run", "one").returncode == 0
    assert table.run("run", "two").returncode == 0
    first, second = table.times()
    assert 2 <= second - first < 10


def test_an_interrupt_ends_the_wait_for_a_turn(table: Table) -> None:
    """Ctrl-C on a batch that waits for its turn is heard at once, and nothing more goes out."""
    table.rows(100)
    process = table.start("batch", "in.jsonl", "-o", "out.jsonl", "--rpm", "6")
    until = time.monotonic() + 20
    while not table.server.log() and time.monotonic() < until:
        time.sleep(0.05)
    began = time.monotonic()
    process.terminate()
    ((code, err),) = all_of([process])
    assert code == 143, err
    assert time.monotonic() - began < 4
    assert len(table.server.log()) == 1
