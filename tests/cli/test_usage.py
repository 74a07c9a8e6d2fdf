"""`llmctl usage` as users type it."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from ..usage.kit import Kit, when

NOON = when("2026-11-22T12:00")


@pytest.fixture
def kit(home: Path) -> Kit:
    """A ledger with two models on two days, a hit, a failure and an unknown price."""
    kit = Kit(home / "ledger.db")
    kit.call(NOON - 86400, model="openai/a", cost=1_000_000, tag="ci", profile="prod", ttft=0.2)
    kit.call(NOON, model="openai/a", cost=2_000_000)
    kit.call(NOON + 1, model="openai/a", cost=2_000_000, hit="exact")
    kit.failed(NOON + 2, model="openai/a")
    kit.call(NOON + 3, model="x/[/b]\u202e", cost=None)
    kit.ledger.close()
    return kit


def test_what_was_asked_is_what_is_reported(llmctl: Run, server: TestServer) -> None:
    """From the question to the report, hit and failure included."""
    assert llmctl("run", "hello", "--tag", "ci").returncode == 0
    assert llmctl("run", "hello").returncode == 0
    server.script(queue=["status:400"])
    assert llmctl("run", "other").returncode == 7
    body = json.loads(llmctl("usage", "--json", "--by", "tag", "--by", "status").stdout)
    assert body["schema"] == 1
    keys = [(group["key"]["tag"], group["key"]["status"], group["calls"]) for group in body["groups"]]
    assert sorted(keys, key=str) == [("ci", "ok", 1), (None, "failed", 1), (None, "ok", 1)]
    total = body["total"]
    assert (total["calls"], total["ok"], total["failed"], total["cached"]) == (3, 2, 1, 1)
    assert total["cost_usd"] == total["saved_usd"] > 0


@pytest.mark.parametrize("args", [("usage", "--json"), ("--json", "usage"), ("usage", "--format", "json")])
def test_json_is_one_object(llmctl: Run, kit: Kit, args: tuple[str, ...]) -> None:
    """The default groups are day and model."""
    done = llmctl(*args, "--tz", "UTC") if args[0] == "usage" else llmctl("--json", "usage", "--tz", "UTC")
    body = json.loads(done.stdout)
    assert [tuple(group["key"].values()) for group in body["groups"]] == [
        ("2026-11-21", "openai/a"),
        ("2026-11-22", "openai/a"),
        ("2026-11-22", "x/[/b]\u202e"),
    ]
    assert body["groups"][2]["cost_usd"] is None
    assert body["total"]["cost_usd"] == 0.003
    assert body["total"]["unpriced"] == 1


def test_no_ledger_is_an_empty_report(llmctl: Run, home: Path) -> None:
    """Asked before anything was: exit 0, zeros, and no file made."""
    for args in ((), ("--json",), ("--calls",), ("--chart",), ("--format", "csv"), ("--by", "run")):
        done = llmctl("usage", *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout
    assert json.loads(llmctl("usage", "--json").stdout)["total"]["calls"] == 0
    assert not (home / "ledger.db").exists()


def test_tables_are_plain_lines_in_a_pipe(llmctl: Run, kit: Kit) -> None:
    """No control codes, no markup, the unknown price a question mark."""
    done = llmctl("usage", "--tz", "UTC")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["day", "model", "calls"]
    assert lines[3].startswith("2026-11-22  x/[/b]\\u202e")
    assert " ? " in lines[3]
    assert "$0.003000 + ?" in lines[5]
    assert "\x1b" not in done.stdout
    coloured = llmctl("usage", "--tz", "UTC", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b[1m" in coloured
    assert "x/[/b]\\u202e" in coloured


def test_csv_and_markdown(llmctl: Run, kit: Kit) -> None:
    """For spreadsheets and for issues."""
    said = llmctl("usage", "--format", "csv", "--by", "model").stdout
    rows = list(csv.DictReader(StringIO(said)))
    assert rows[0]["model"] == "openai/a"
    assert (rows[0]["calls"], rows[0]["cost_usd"], rows[1]["cost_usd"]) == ("4", "0.003", "")
    assert (rows[0]["cached_tokens"], rows[0]["unpriced"], rows[1]["unpriced"]) == ("6", "0", "1")
    marked = llmctl("usage", "--format", "markdown", "--by", "model").stdout
    assert marked.startswith("| model | calls |")
    assert "| **total** |" in marked


def test_windows_and_filters(llmctl: Run, kit: Kit) -> None:
    """Each option takes away what it says, to the end of the named day."""

    def count(*args: str) -> int:
        calls: int = json.loads(llmctl("usage", "--json", "--tz", "UTC", *args).stdout)["total"]["calls"]
        return calls

    assert count() == 5
    assert count("--since", "2026-11-22") == 4
    assert count("--until", "2026-11-21") == 1
    assert count("--since", "2026-11-22T12:00:02Z", "--until", "2026-11-22T12:00:03Z") == 1
    assert count("--tag", "ci") == count("--only-profile", "prod") == 1
    assert count("--tag", "") == 4
    assert count("--model", "x/[/b]\u202e") == 1
    assert count("--since", "2026-11", "--until", "2026-11") == 5


def test_what_is_set_for_runs_filters_no_report(llmctl: Run, kit: Kit) -> None:
    """LLMCTL_MODEL in a shell's profile must not hide the other models' money."""
    env = {"LLMCTL_MODEL": "x/other", "LLMCTL_TAG": "none", "LLMCTL_FORMAT": "openai", "LLMCTL_LIMIT": "1"}
    assert json.loads(llmctl("usage", "--json", env=env).stdout)["total"]["calls"] == 5
    assert len(llmctl("usage", "--calls", env=env).stdout.splitlines()) == 6


def test_one_line_a_call(llmctl: Run, kit: Kit) -> None:
    """The newest last; what --limit leaves out by default is said."""
    lines = llmctl("usage", "--calls", "--tz", "UTC").stdout.splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("2026-11-21 12:00:00  ok ")
    assert "cached (exact)" in lines[3]
    assert "server_error" in lines[4]
    body = json.loads(llmctl("usage", "--calls", "--json", "--limit", "2").stdout)
    assert [call["cached"] for call in body["calls"]] == [False, False]
    assert [call["status"] for call in body["calls"]] == ["failed", "ok"]
    rows = list(csv.DictReader(StringIO(llmctl("usage", "--calls", "--format", "csv").stdout)))
    assert [row["cost_usd"] for row in rows] == ["0.001", "0.002", "0.0", "0.0", ""]
    assert [row["cached"] or row["error"] for row in rows] == ["", "", "exact", "server_error", ""]


def test_more_calls_than_are_shown_are_announced(llmctl: Run, home: Path) -> None:
    """A list that was cut in silence is taken for the whole."""
    kit = Kit(home / "ledger.db", group=True)
    for number in range(150):
        kit.call(NOON + number)
    kit.done()
    done = llmctl("usage", "--calls")
    assert len(done.stdout.splitlines()) == 101
    assert "only the newest 100 calls" in done.stderr
    assert len(llmctl("usage", "--calls", "--limit", "0").stdout.splitlines()) == 151
    assert llmctl("usage", "--calls", "--limit", "10").stderr == ""
    assert llmctl("usage", "--calls", "-q").stderr == ""


def test_charts_and_pictures(llmctl: Run, kit: Kit, work: Path) -> None:
    """Bars in the terminal; SVG, HTML and PNG as files."""
    said = llmctl("usage", "--chart", "--tz", "UTC").stdout
    assert said.startswith("cost in USD by day\n2026-11-21  █")
    assert "\x1b" not in said
    for name, start in (
        ("usage.svg", b"<svg"),
        ("usage.html", b"<!doctype html>"),
        ("usage.png", b"\x89PNG"),
    ):
        done = llmctl("usage", "-o", name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (work / name).read_bytes().startswith(start)
    assert llmctl("usage", "--chart", "--by", "day,tag", "-o", "drawn.svg").returncode == 0
    assert (work / "drawn.svg").read_bytes().startswith(b"<svg")
    assert llmctl("usage", "-o", "usage.csv").stdout == ""
    assert (work / "usage.csv").read_text().startswith("day,model,calls")
    assert llmctl("usage", "-o", "-", "--format", "csv").stdout.startswith("day,model")
    assert llmctl("usage", "--chart", "-o", "chart.txt").returncode == 0
    assert (work / "chart.txt").read_text().startswith("cost in USD")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--since", "soon"), "for example 7d"),
        (("--until", "2026-02-30"), "for example 7d"),
        (("--tz", "Europe/Madird"), "did you mean Europe/Madrid?"),
        (("--by", "models"), "one of day, hour"),
        (("--format", "xml"), "one of table, json"),
        (("--since", "1d", "--until", "2d"), "is not before"),
        (("--calls", "--chart"), "cannot be drawn"),
        (("--limit", "-1"), "--limit"),
        (("-o", "usage.pdf"), "one of .txt, .json, .csv, .md, .svg"),
        (("--by", "day", "reprice"), "put it after reprice"),
        (("nonsense",), "nonsense"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(llmctl: Run, args: tuple[str, ...], said: str) -> None:
    """Exit 2 and one line."""
    done = llmctl("usage", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_corrupt_ledger_is_exit_3_and_stays(llmctl: Run, kit: Kit) -> None:
    """Never silently made anew: it is the record of what was paid."""
    kit.path.write_bytes(b"not a database" * 1000)
    before = kit.path.read_bytes()
    for args in (("usage",), ("usage", "--calls"), ("usage", "reprice", "--apply")):
        done = llmctl(*args)
        assert done.returncode == 3
        assert "damaged" in done.stderr
    assert json.loads(llmctl("usage", "--json").stdout)["error"]["exit_code"] == 3
    assert kit.path.read_bytes() == before


def test_an_unwritable_output_is_exit_3(llmctl: Run, kit: Kit) -> None:
    """The path and the reason."""
    done = llmctl("usage", "-o", "/nonexistent/usage.svg")
    assert done.returncode == 3
    assert "/nonexistent/usage.svg" in done.stderr


def test_reprice_shows_and_applies(llmctl: Run, home: Path) -> None:
    """Old, new and difference; the ledger is changed only when asked."""
    kit = Kit(home / "ledger.db")
    kit.call(NOON, model="hosted_vllm/mine", cost=None)
    kit.done()
    prices = {"LLMCTL_PROFILE": "priced.yaml"}
    profile = home.parent / "work" / "priced.yaml"
    profile.parent.mkdir(exist_ok=True)
    profile.write_text("extends: base\nprices: {hosted_vllm/mine: {input: 0.10, output: 0.30}}\n")
    look = llmctl("usage", "reprice", env=prices)
    assert look.returncode == 0, look.stderr
    assert re.search(r"hosted_vllm/mine +1 +1 +\? +\$0\.000003 +\+\$0\.000003", look.stdout)
    assert "the ledger is as it was" in look.stdout
    assert json.loads(llmctl("usage", "--json").stdout)["total"]["cost_usd"] is None
    applied = json.loads(llmctl("usage", "reprice", "--apply", "--json", env=prices).stdout)
    assert applied["applied"] is True
    assert applied["total"]["difference_usd"] == 0.0000025
    assert json.loads(llmctl("usage", "--json").stdout)["total"]["cost_usd"] == 0.0000025


def test_a_closed_pipe_ends_quietly(llmctl: Run, home: Path, environ: dict[str, str]) -> None:
    """`llmctl usage | head -1`: neither a traceback nor a word."""
    kit = Kit(home / "ledger.db", group=True)
    for number in range(3000):
        kit.call(NOON, run_id=f"run-{number:05}" + "x" * 60)
    kit.done()
    command = f"{sys.executable} -m llmctl usage --by run | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("run ")
    assert done.stdout.splitlines()[1:] == ["0"]


@pytest.mark.parametrize(
    ("more", "styled"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"CI": "true"}, False)],
)
def test_a_terminal_gets_what_it_can_show(
    kit: Kit, environ: dict[str, str], more: dict[str, str], styled: bool
) -> None:
    """Eighty columns are eighty columns, and codes only where they are wanted."""
    terminal, side = pty.openpty()
    environ = {**environ, "TERM": "xterm", "COLUMNS": "80", **more}
    with subprocess.Popen(
        [sys.executable, "-m", "llmctl", "usage"], env=environ, stdout=side, stderr=subprocess.PIPE
    ) as process:
        os.close(side)
        said = b""
        while chunk := read(terminal):
            said += chunk
        assert process.wait(60) == 0
    os.close(terminal)
    text = said.decode()
    assert ("\x1b[" in text) is styled
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines[:-1])) <= 80
    assert any("$0.003000 + ?" in line for line in lines)


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side has closed
        return b""


def test_rich_is_not_loaded_for_a_pipe(environ: dict[str, str], kit: Kit) -> None:
    """Colours that nobody sees would double what the report costs."""
    code = (
        "import sys; from llmctl.cli.app import run; run(['usage']); run(['usage', '--chart']);"
        " run(['usage', '--calls']); names = ('rich', 'zoneinfo', 'asyncio');"
        " sys.stderr.write(str([name for name in names if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == "[]"
