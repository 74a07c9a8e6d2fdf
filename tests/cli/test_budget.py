"""Budgets as users meet them: in a profile, on a command line, in a report."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from ..test_startup import loaded

MODEL = "models: {main: {model: openai/gpt-4o-mini, params: {max_tokens: 50}}}\n"
Write = Callable[..., None]


def counters(home: Path) -> list[str]:
    """The budget counters that the state holds."""
    if not (home / "state.db").exists():
        return []
    db = sqlite3.connect(home / "state.db")
    try:
        return [key for (key,) in db.execute("SELECT key FROM counters WHERE key LIKE 'budget%'")]
    finally:
        db.close()


@pytest.fixture
def profile(work: Path) -> Write:
    """Writes the profile that the commands here use."""

    def write(text: str, model: str = MODEL) -> None:
        folder = work / "profiles"
        folder.mkdir(exist_ok=True)
        (folder / "money.yaml").write_text(model + text)
        (work / "llmctl.yaml").write_text("profile: money\n")

    return write


@pytest.fixture
def spent(profile: Write, llmctl: Run) -> None:
    """A budget of a day of which some is spent, and one that is not touched."""
    profile(
        "budgets: [{limit: 0.001, per: day, tz: Europe/Madrid}, {limit: 2, per: hour, tag: ci, name: ci}]"
    )
    assert llmctl("run", "hello").returncode == 0


def test_json_is_as_promised(spent: None, llmctl: Run) -> None:
    """Scripts read these names."""
    day, hour = json.loads(llmctl("budget", "--json").stdout)["budgets"]
    assert list(day) == [
        "name", "scope", "per", "tz",
        "limit_usd", "spent_usd", "reserved_usd", "left_usd", "resets_at", "state",
    ]  # fmt: skip
    assert day["limit_usd"] == 0.001
    assert 0 < day["spent_usd"] < 0.0001
    assert day["left_usd"] == pytest.approx(0.001 - day["spent_usd"], abs=1e-12)
    assert (day["name"], day["scope"], day["per"], day["tz"]) == ("day", "all", "day", "Europe/Madrid")
    assert day["resets_at"].split("T")[1] in ("00:00:00+01:00", "00:00:00+02:00")
    assert (hour["name"], hour["scope"], hour["spent_usd"]) == ("ci", "tag=ci", 0)


def test_table_has_a_line_and_a_bar_for_each(spent: None, llmctl: Run) -> None:
    """Without a terminal: plain lines, no control codes."""
    done = llmctl("budget")
    head, day, ci = done.stdout.splitlines()
    assert head.split()[:5] == ["budget", "limit", "spent", "reserved", "left"]
    assert "····" in day
    assert ci.startswith("ci ")
    assert "\x1b" not in done.stdout


def test_check_says_whether_it_would_fit(spent: None, llmctl: Run) -> None:
    """What a script asks before it starts something large."""
    assert llmctl("budget", "--check", "0.0005").returncode == 0
    refused = llmctl("budget", "--check", "0.5")
    assert refused.returncode == 6
    assert "would not fit into: day" in refused.stderr
    envelope = json.loads(llmctl("budget", "--check", "3", "--json").stdout)
    assert envelope["error"]["exit_code"] == 6
    assert len(envelope["budgets"]) == 2


def test_without_budgets_everything_fits(profile: Write, llmctl: Run, home: Path) -> None:
    """And no state is made to find that out."""
    profile("")
    assert json.loads(llmctl("budget", "--json").stdout)["budgets"] == []
    assert llmctl("budget", "--check", "1000").returncode == 0
    assert not (home / "state.db").exists()


@pytest.mark.parametrize("amount", ["nan", "inf", "-inf", "-1", "1e400", "5e9", "much", ""])
@pytest.mark.parametrize("args", [("budget", "--check"), ("run", "x", "--max-cost")])
def test_amounts_that_are_none(
    args: tuple[str, ...], amount: str, profile: Write, llmctl: Run, server: TestServer
) -> None:
    """NaN is below no limit and above none: it must not get in."""
    profile("")
    done = llmctl(*args, amount)
    assert done.returncode == 2, done.stderr
    assert server.log() == []


@pytest.mark.parametrize("limit", ["-1", ".nan", ".inf", "-.inf", "1.0e+300", "much", "null", "[1]"])
def test_limits_that_are_none(limit: str, profile: Write, llmctl: Run, server: TestServer) -> None:
    """The profile's file, line and key, and nothing sent."""
    profile(f"budgets:\n  - per: day\n    limit: {limit}\n")
    done = llmctl("run", "x")
    assert done.returncode == 3
    assert "money.yaml:4: budgets[0].limit" in done.stderr
    assert server.log() == []


def test_an_unknown_zone_is_refused_before_anything_is_sent(
    profile: Write, llmctl: Run, server: TestServer
) -> None:
    """It would put calls on the wrong day."""
    profile("budgets: [{limit: 1, per: day, tz: Europe/Madird}]")
    done = llmctl("run", "x")
    assert done.returncode == 3
    assert "money.yaml:2: budgets[0].tz: Europe/Madird" in done.stderr
    assert "did you mean 'Europe/Madrid'?" in done.stderr
    assert llmctl("profile", "check", "money").returncode == 3
    assert server.log() == []


def test_a_budget_that_is_used_up_refuses(profile: Write, llmctl: Run, server: TestServer) -> None:
    """Exit 6, nothing sent, nothing tried again, when it resets; a cached answer is free all the same."""
    profile("budgets: [{limit: 0.00006, per: day}]\nretry: {attempts: 3}\n")
    assert llmctl("run", "hello").returncode == 0
    sent = len(server.log())
    refused = llmctl("run", "other", "--json", "-O", "max_tokens=100")
    error = json.loads(refused.stdout)["error"]
    assert refused.returncode == error["exit_code"] == 6
    assert error["type"] == "budget"
    assert error["retryable"] is False
    assert len(server.log()) == sent
    assert llmctl("run", "hello").returncode == 0


def test_max_cost_covers_all_attempts_of_the_command(profile: Write, llmctl: Run, server: TestServer) -> None:
    """An attempt that may have been billed counts; the second one would pass the limit."""
    profile("retry: {attempts: 5, base: 0.01}\nprices: {openai/gpt-4o-mini: {input: 0, output: 10}}\n")
    server.script(default="close_in_body")
    done = llmctl("run", "x", "--no-stream", "--max-cost", "0.0007")
    assert done.returncode == 6
    assert "--max-cost $0.000700" in done.stderr
    assert len(server.log()) == 1
    assert llmctl("run", "x", "--no-stream", "--max-cost", "0.0011").returncode == 6
    assert len(server.log()) == 3


def test_max_cost_needs_no_state(profile: Write, llmctl: Run, home: Path) -> None:
    """It ends with its command."""
    profile("")
    assert llmctl("run", "x", "--max-cost", "1").returncode == 0
    assert llmctl("run", "y", "--max-cost", "0").returncode == 6
    assert counters(home) == []


@pytest.mark.parametrize("args", [(), ("--max-cost", "1")])
def test_an_unknown_price_is_refused_and_the_cure_is_told(
    args: tuple[str, ...], profile: Write, llmctl: Run, server: TestServer
) -> None:
    """Unknown is not free; what the hint says to write is what helps."""
    budgets = "" if args else "budgets: [{limit: 1, per: day}]\n"
    profile(budgets)
    done = llmctl("run", "x", "-m", "openai/made-up", *args)
    assert done.returncode == 6
    assert server.log() == []
    cure = done.stderr.partition("0 is a price): ")[2].rstrip(")\n")
    assert cure.startswith("prices: {openai/made-up: {input:")
    profile(budgets + cure)
    assert llmctl("run", "x", "-m", "openai/made-up", *args).returncode == 0
    profile(budgets + "prices: {openai/made-up: {input: 0, output: 0}}")
    assert llmctl("run", "y", "-m", "openai/made-up", *args).returncode == 0


def test_an_unknown_price_without_a_budget_is_no_matter(profile: Write, llmctl: Run) -> None:
    """Nobody asked for a limit."""
    profile("")
    done = llmctl("run", "x", "-m", "openai/made-up", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["cost_usd"] is None


def test_nothing_that_limits_the_answer(profile: Write, llmctl: Run, server: TestServer) -> None:
    """Without max_tokens a priced but unlisted model could answer without end: no reservation holds."""
    profile("prices: {openai/made-up: {input: 1, output: 1}}\nbudgets: [{limit: 1, per: day}]\n")
    done = llmctl("run", "x", "-m", "openai/made-up", "-O", "max_tokens=null")
    assert done.returncode == 6
    assert "max_tokens" in done.stderr
    assert server.log() == []


def test_a_warning_once_a_period(profile: Write, llmctl: Run) -> None:
    """On stderr, by whichever process comes first."""
    profile("budgets: [{limit: 1, per: total, warn: 0.000001}]")
    said = [llmctl("run", f"prompt {n}").stderr for n in range(3)]
    assert "warning: budget total" in said[0]
    assert said[1:] == ["", ""]


def test_a_limit_raised_keeps_what_is_spent(profile: Write, llmctl: Run) -> None:
    """Or every edit of the profile would be a fresh budget."""
    profile("budgets: [{limit: 1, per: total}]")
    assert llmctl("run", "x").returncode == 0
    before = json.loads(llmctl("budget", "--json").stdout)["budgets"][0]["spent_usd"]
    profile("budgets: [{limit: 5, per: total, name: more}]")
    after = json.loads(llmctl("budget", "--json").stdout)["budgets"][0]
    assert (after["name"], after["limit_usd"], after["spent_usd"]) == ("more", 5, before)


def test_a_damaged_state_stops_before_the_call(
    profile: Write, llmctl: Run, home: Path, server: TestServer
) -> None:
    """Exit 3; the file is left for whoever wants to save it."""
    profile("budgets: [{limit: 1, per: day}]")
    home.mkdir(mode=0o700)
    (home / "state.db").write_bytes(b"damaged " * 1000)
    for args in (("run", "x"), ("budget",)):
        done = llmctl(*args)
        assert done.returncode == 3
        assert "state.db: damaged" in done.stderr
    assert server.log() == []
    assert (home / "state.db").read_bytes() == b"damaged " * 1000


@pytest.mark.slow
def test_a_state_locked_for_long_is_given_up(
    profile: Write, llmctl: Run, home: Path, server: TestServer
) -> None:
    """A bounded wait, exit 3, nothing sent."""
    profile("budgets: [{limit: 1, per: day}]")
    assert llmctl("run", "x").returncode == 0
    holder = sqlite3.connect(home / "state.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    done = llmctl("run", "y", timeout=90)
    assert done.returncode == 3
    assert "locked" in done.stderr
    assert time.monotonic() - began < 60
    assert len(server.log()) == 1
    holder.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB; only where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_before_the_next_paid_call(
    profile: Write, llmctl: Run, small_disk: Path, server: TestServer
) -> None:
    """What cannot be written down is not paid for; with room again it goes on, the sums unharmed."""
    profile("budgets: [{limit: 1, per: day}]\ncache: false\n")
    own = {"LLMCTL_HOME": str(small_disk / "home")}
    assert llmctl("run", "x", env=own).returncode == 0
    before = json.loads(llmctl("budget", "--json", env=own).stdout)["budgets"][0]["spent_usd"]
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass
    for _ in range(2):
        done = llmctl("run", "y", env=own)
        assert done.returncode == 3, done.stderr
    assert len(server.log()) == 1
    filler.unlink()
    assert llmctl("run", "y", env=own).returncode == 0
    after = json.loads(llmctl("budget", "--json", env=own).stdout)["budgets"][0]
    assert after["spent_usd"] == pytest.approx(2 * before)
    assert after["reserved_usd"] == 0


def test_the_report_imports_nothing_heavy(spent: None, environ: dict[str, str], work: Path) -> None:
    """It is looked at often."""
    assert loaded({**environ, "LLMCTL_PROFILE": str(work / "profiles/money.yaml")}, "budget") == set()


def test_a_cached_answer_opens_no_state(profile: Write, llmctl: Run, home: Path) -> None:
    """A hit costs nothing, so it asks nobody for money."""
    profile("")
    assert llmctl("run", "hello").returncode == 0
    for file in home.glob("state.db*"):
        file.unlink()
    profile("budgets: [{limit: 1, per: day}]")
    assert llmctl("run", "hello").returncode == 0
    assert not (home / "state.db").exists()
