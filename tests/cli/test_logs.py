"""What a command leaves in its log, and what not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Run
from ..server.client import TestServer

PROMPT = "whisper zebra 4711 twice"


def log(home: Path) -> list[dict[str, Any]]:
    path = home / "logs" / "llmctl.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def profile(work: Path, **keys: Any) -> None:
    (work / "p.yaml").write_text(json.dumps({"extends": "dev", "retry": {"attempts": 1}, **keys}))


def test_a_call_is_a_line_without_its_texts(llmctl: Run, home: Path) -> None:
    """Hash and length tell calls apart; the run id is that of the JSON output and of the ledger."""
    done = llmctl("run", "--json", PROMPT)
    assert done.returncode == 0
    (line,) = log(home)
    assert (line["event"], line["level"], line["status"]) == ("call", "info", "ok")
    assert line["run_id"] == json.loads(done.stdout)["run_id"]
    assert (line["prompt_chars"], line["answer_chars"]) == (len(PROMPT), len(f"echo: {PROMPT}"))
    assert line["request_hash"] and line["answer_hash"]
    assert "zebra" not in (home / "logs" / "llmctl.log").read_text()


def test_log_texts(llmctl: Run, work: Path, home: Path) -> None:
    """Asked for by the profile, texts are there, as they left: what is redacted stays so."""
    profile(work, privacy={"log_texts": True, "redact": ["email"]})
    assert llmctl("-p", "./p.yaml", "run", f"{PROMPT} jane@example.com").returncode == 0
    (line,) = log(home)
    assert line["messages"][-1]["content"] == f"{PROMPT} <EMAIL_1>"
    assert line["answer"] == f"echo: {PROMPT} <EMAIL_1>"


def test_failures(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """Each attempt, the call and the command's end; the provider's words may quote the prompt."""
    profile(work)
    server.script(default="status:503")
    assert llmctl("-p", "./p.yaml", "run", PROMPT).returncode == 5
    assert [line["event"] for line in log(home)] == ["attempt", "call", "failed"]
    attempt, call, failed = log(home)
    assert (attempt["error"], attempt["http_status"], attempt["key"]) == (
        "server_error", 503, "env:OPENAI_API_KEY",
    )  # fmt: skip
    assert call["error"] == "server_error" and call["call"] == attempt["call"]
    assert (failed["level"], failed["exit_code"]) == ("error", 5)
    assert len({line["run_id"] for line in log(home)}) == 1
    assert "zebra" not in (home / "logs" / "llmctl.log").read_text()


@pytest.mark.parametrize(("level", "events"), [("off", []), ("warning", []), ("info", ["batch"])])
def test_a_batch_is_one_line(llmctl: Run, work: Path, home: Path, level: str, events: list[str]) -> None:
    """Its rows have OUT and the ledger; a line each only where it is asked for."""
    profile(work, logs={"level": level})
    (work / "in.txt").write_text("".join(f"{PROMPT} {n}\n" for n in range(20)))
    assert llmctl("-p", "./p.yaml", "batch", "in.txt", "-o", "out.jsonl").returncode == 0
    assert [line["event"] for line in log(home)] == events


def test_a_batch_with_failures(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """With -v every row is in the log; stderr tells people of those that failed."""
    profile(work)
    (work / "in.txt").write_text("".join(f"{PROMPT} {n}\n" for n in range(6)))
    server.script(match=[{"contains": "twice 3", "default": "status:400"}])
    done = llmctl("-p", "./p.yaml", "batch", "in.txt", "-o", "out.jsonl", "-v")
    assert done.returncode == 9
    found = [(line["level"], line["event"]) for line in log(home)]
    assert sorted(found) == sorted(
        [("debug", "call"), ("debug", "attempt")] * 5
        + [("warning", "call"), ("warning", "attempt"), ("info", "batch")]
    )
    told = [line for line in done.stderr.splitlines() if " call: " in line or " attempt: " in line]
    assert len(told) == 2 and all("error=bad_request" in line for line in told)
    assert "zebra" not in done.stderr


def test_verbose_tells_people_as_it_happens(llmctl: Run, server: TestServer, work: Path) -> None:
    """Which attempt failed and why is seen on stderr; stdout holds the answer alone."""
    profile(work, retry={"attempts": 3, "base": 0.01, "cap": 0.02})
    server.script(queue=["status:503"])
    done = llmctl("-p", "./p.yaml", "run", "-v", "hello")
    assert (done.returncode, done.stdout) == (0, "echo: hello\n")
    assert "warning attempt: " in done.stderr and "http_status=503" in done.stderr
    assert " tokens, $" in done.stderr


def test_a_log_in_the_way_costs_no_answer(llmctl: Run, home: Path) -> None:
    """A full disk under the log is no reason to lose what was paid for."""
    (home / "logs" / "llmctl.log").mkdir(parents=True)
    done = llmctl("run", "hello")
    assert (done.returncode, done.stdout) == (0, "echo: hello\n")
    assert done.stderr.count("going on without it") == 1


def test_a_bugs_report_lies_under_the_home_that_was_named(
    environ: dict[str, str], work: Path, home: Path
) -> None:
    """Whoever keeps a command's state in a folder of its own finds everything of it there."""
    bug = "from llmctl import pipeline as p; p.build = None; from llmctl.cli.app import run; run(%r)"
    args = ["run", "x", "--home", str(work / "own")]
    done = subprocess.run(
        [sys.executable, "-c", bug % args], cwd=work, env=environ, capture_output=True, text=True, check=False
    )
    [report] = (work / "own" / "logs").glob("crash-*.log")
    assert str(report) in done.stderr and not home.exists()


def test_every_yes_of_a_variable_is_one(llmctl: Run) -> None:
    """LLMCTL_JSON=y makes answers JSON; an error beside them is no other form."""
    assert json.loads(llmctl("nope", env={"LLMCTL_JSON": "y"}).stdout)["error"]["exit_code"] == 2
