"""What a batch writes: rows, forms, exit codes, the summary, progress."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from llmctl.batch.progress import Progress
from llmctl.batch.tally import Tally

from ..conftest import Run
from ..server.client import TestServer
from .harness import asked, command, lines, names, questions, read, requests, start, write

ROW = {
    "id", "row", "status", "text", "parsed", "model", "finish_reason", "usage", "cost_usd", "cached",
    "attempts", "latency_s", "error",
}  # fmt: skip
SUMMARY = {
    "schema", "rows", "ok", "failed", "pending", "cached", "deduplicated", "resumed", "requests", "usage",
    "cost_usd", "saved_usd", "wall_s", "rows_per_s", "latency_s", "out", "failed_out",
}  # fmt: skip


def openai_rows() -> list[dict[str, Any]]:
    """The example in OpenAI's guide to its batch API, as it is published."""
    system = {"role": "system", "content": "You are a helpful assistant."}
    unhelpful = {"role": "system", "content": "You are an unhelpful assistant."}
    hello = {"role": "user", "content": "Hello world!"}
    return [
        {"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions",
         "body": {"model": "gpt-3.5-turbo-0125", "messages": [system, hello], "max_tokens": 1000}},
        {"custom_id": "request-2", "method": "POST", "url": "/v1/chat/completions",
         "body": {"model": "gpt-3.5-turbo-0125", "messages": [unhelpful, hello], "max_tokens": 1000}},
    ]  # fmt: skip


def vllm_rows() -> list[dict[str, Any]]:
    """The form of `vllm run-batch`'s example: the model is named as its server knows it."""
    body = {"model": "some-house/Some-Model-8B", "max_completion_tokens": 1000}
    return [
        {"custom_id": f"request-{n}", "method": "POST", "url": "/v1/chat/completions",
         "body": {**body, "messages": [{"role": "user", "content": f"Hello {n}"}]}}
        for n in (1, 2)
    ]  # fmt: skip


def test_a_row_of_the_output(llmctl: Run, work: Path) -> None:
    """Scripts read these fields; each has its meaning."""
    write(work / "in.jsonl", [{"prompt": "hello", "id": "a"}, {"prompt": "there"}])
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    first, second = read(work / "out.jsonl")
    assert first.keys() == ROW
    assert (first["id"], first["row"], second["id"], second["row"]) == ("a", 0, "1", 1)
    assert (first["status"], first["text"], first["model"]) == ("ok", "echo: hello", "openai/gpt-4o-mini")
    assert first["usage"].keys() == {"input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"}
    assert first["cost_usd"] > 0
    assert (first["cached"], first["attempts"], first["error"], first["finish_reason"]) == (
        False,
        1,
        None,
        "stop",
    )


def test_a_failed_row(llmctl: Run, server: TestServer, work: Path) -> None:
    """What failed says why, as the envelope of an error does; the rows beside it are answered."""
    write(work / "in.jsonl", [*questions(2), {"promt": "x"}, {"prompt": ""}])
    server.script(match=[{"contains": "question 1", "default": "status:500"}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-O", "max_tokens=5")
    assert done.returncode == 9
    ok, failed, unknown, empty = read(work / "out.jsonl")
    assert [row["status"] for row in (ok, failed, unknown, empty)] == ["ok", "failed", "failed", "failed"]
    assert (failed["attempts"], failed["error"]["status"], failed["error"]["exit_code"]) == (3, 500, 5)
    assert failed["error"].keys() == {
        "type", "message", "hint", "status", "retryable", "retry_after_s", "exit_code",
    }  # fmt: skip
    assert "line 3" in unknown["error"]["message"]
    assert "prompt" in unknown["error"]["hint"]
    assert "out.jsonl.failed.jsonl" in done.stderr
    assert len(read(work / "out.jsonl.failed.jsonl")) == 3


@pytest.mark.parametrize("form", ["openai", "vllm"])
def test_batch_files_of_others_run_unchanged(form: str, llmctl: Run, server: TestServer, work: Path) -> None:
    """A file made for OpenAI's batch API or vllm run-batch goes in, its format comes out."""
    rows = openai_rows() if form == "openai" else vllm_rows()
    write(work / "in.jsonl", rows)
    (work / "profiles").mkdir()
    (work / "profiles" / "mine.yaml").write_text(
        "models:\n  some-house/Some-Model-8B:\n    model: hosted_vllm/some-house/Some-Model-8B\n"
        f"    api_base: {server.openai}\n    keys: [env:OPENAI_API_KEY]\n"
    )
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", *(("-p", "mine") if form == "vllm" else ()))
    assert done.returncode == 0, done.stderr
    found = read(work / "out.jsonl")
    assert [row["custom_id"] for row in found] == ["request-1", "request-2"]
    for row in found:
        assert row.keys() == {"id", "custom_id", "response", "error"}
        assert row["error"] is None
        assert row["response"]["status_code"] == 200
        body = row["response"]["body"]
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"].startswith("echo: Hello")
        assert body["usage"]["total_tokens"] > 0
    bodies = [entry["body"] for entry in server.log()]
    bodies.sort(key=lambda body: str(body["messages"]))
    for sent, row in zip(bodies, sorted(rows, key=lambda row: str(row["body"]["messages"])), strict=True):
        assert sent["messages"] == row["body"]["messages"]
        assert sent["model"] == row["body"]["model"]
        caps = {"max_tokens", "max_completion_tokens"}
        assert caps & sent.keys() == caps & row["body"].keys()  # who gets both refuses the request


@pytest.mark.parametrize("main", [None, "hosted_vllm/some-house/Some-Model-8B", "hosted_vllm/other"])
def test_a_model_named_as_its_server_knows_it(
    main: str | None, llmctl: Run, server: TestServer, work: Path
) -> None:
    """Such a file says no provider: it is the profile's."""
    write(work / "in.jsonl", vllm_rows())
    (work / "profiles").mkdir()
    if main:
        keys = "providers: {hosted_vllm: {keys: [env:OPENAI_API_KEY]}}"
        (work / "profiles" / "mine.yaml").write_text(f"models: {{main: {main}}}\n{keys}\n")
    args = ("-p", "mine") if main else ()
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", *args, env={"HOSTED_VLLM_API_BASE": server.openai})
    assert done.returncode == 0, done.stderr
    assert [entry["body"]["model"] for entry in server.log()] == ["some-house/Some-Model-8B"] * 2


def test_a_refusal_stands_in_the_response(llmctl: Run, server: TestServer, work: Path) -> None:
    """OpenAI's readers look for the status of a 4xx in `response`."""
    write(work / "in.jsonl", openai_rows())
    server.script(queue=[None, "status:404"])
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--concurrency", "1").returncode == 9
    ok, failed = read(work / "out.jsonl")
    assert ok["response"]["status_code"] == 200
    assert failed["response"]["status_code"] == 404
    assert failed["response"]["body"]["error"]["message"]
    assert failed["error"] is None


def test_other_failures_stand_in_the_error(llmctl: Run, server: TestServer, work: Path) -> None:
    """Where no answer came there is no status to tell."""
    write(work / "in.jsonl", openai_rows()[:1])
    server.script(default="reset_before_headers")
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 9
    (row,) = read(work / "out.jsonl")
    assert row["response"] is None
    assert row["error"].keys() == {"code", "message"}


@pytest.mark.parametrize("form", ["llmctl", "openai"])
def test_one_form_for_mixed_rows(form: str, llmctl: Run, work: Path) -> None:
    """--format makes all rows alike, whichever kind they came in, doubles too."""
    first = openai_rows()[0]
    plain = {
        "messages": first["body"]["messages"],
        "model": "gpt-3.5-turbo-0125",
        "params": {"max_tokens": 1000},
    }
    write(work / "in.jsonl", [first, plain, {"prompt": "x"}, {**first, "custom_id": "third"}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--format", form, "--json")
    assert done.returncode == 0, done.stderr
    found = read(work / "out.jsonl")
    assert len({frozenset(row) for row in found}) == 1
    assert [row["id" if form == "llmctl" else "custom_id"] for row in found] == [
        "request-1",
        "1",
        "2",
        "third",
    ]
    assert json.loads(done.stdout)["requests"] == 2


def test_mixed_rows_keep_their_own_forms(llmctl: Run, work: Path) -> None:
    """Without --format each row comes out as it went in, also where two kinds ask the same."""
    first = openai_rows()[0]
    plain = {
        "messages": first["body"]["messages"],
        "model": "gpt-3.5-turbo-0125",
        "params": {"max_tokens": 1000},
    }
    write(work / "in.jsonl", [first, plain, {**first, "custom_id": "third"}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    assert ["custom_id" in row for row in read(work / "out.jsonl")] == [True, False, True]


@pytest.mark.parametrize(("form", "other"), [("llmctl", "openai"), ("openai", "llmctl")])
def test_the_form_of_an_earlier_run_is_forgotten(form: str, other: str, llmctl: Run, work: Path) -> None:
    """--format is of one run: without it every row comes out as it went in, also one that is shared."""
    rows: list[dict[str, Any]] = openai_rows()
    if form == "llmctl":
        rows = [{"prompt": "one", "id": "a"}, {"prompt": 'what is "custom_id"?'}]
    write(work / "in.jsonl", [*rows, {**rows[0], "id" if form == "llmctl" else "custom_id": "again"}])
    files = ("in.jsonl", "-o", "out.jsonl", "--concurrency", "1")
    for flags, wanted in ((("--format", other), other), ((), form)):
        done = llmctl("batch", *files, *flags)
        assert done.returncode == 0, done.stderr
        field = "custom_id" if wanted == "openai" else "status"
        assert all(field in row for row in read(work / "out.jsonl"))


@pytest.mark.parametrize("flags", [(), ("--no-cache",)])
@pytest.mark.parametrize("fault", [None, "status:400"])
def test_identical_rows_are_sent_once(
    fault: str | None, flags: tuple[str, ...], llmctl: Run, server: TestServer, work: Path
) -> None:
    """A file with doubles costs what its different rows cost, also where the first one fails."""
    server.script(latency=0.1, default=fault)
    write(work / "in.jsonl", [{"prompt": "same", "id": f"n{n}"} for n in range(12)])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--json", "--concurrency", "3", *flags)
    assert done.returncode == (9 if fault else 0)
    found, summary = read(work / "out.jsonl"), json.loads(done.stdout)
    assert requests(server) == 1
    assert summary["deduplicated"] == 11
    assert summary["ok" if fault is None else "failed"] == 12
    assert [row["id"] for row in found] == [f"n{n}" for n in range(12)]
    assert {row["text"] for row in found} == {"echo: same" if fault is None else None}
    assert [row["cached"] for row in found[1:]] == ["shared" if fault is None else False] * 11
    assert sum(row["cost_usd"] for row in found) == pytest.approx(summary["cost_usd"])


@pytest.mark.parametrize("args", [(), ("-o", "out.jsonl")])
def test_an_empty_file(args: tuple[str, ...], llmctl: Run, work: Path) -> None:
    """Nothing to do is no failure: fault 86."""
    (work / "in.jsonl").write_text("\n\n")
    done = llmctl("batch", "in.jsonl", *args)
    assert (done.returncode, done.stdout) == (0, "")
    assert "zero rows" in done.stderr


def test_a_dash_is_stdout(llmctl: Run, work: Path) -> None:
    """As in other commands, and as it is stdin for the input: no file of that name is made."""
    (work / "in.jsonl").write_text('{"prompt": "a"}\n')
    done = llmctl("batch", "in.jsonl", "-o", "-")
    assert [row["text"] for row in lines(done.stdout)] == ["echo: a"]
    assert [path.name for path in work.iterdir()] == ["in.jsonl"]


def test_rows_from_stdin(llmctl: Run, work: Path) -> None:
    """A filter among others: JSON lines in, JSON lines out."""
    done = llmctl("batch", "-", stdin='{"prompt": "a"}\n{"prompt": "b"}\n')
    assert done.returncode == 0
    assert [row["text"] for row in lines(done.stdout)] == ["echo: a", "echo: b"]
    again = llmctl("batch", "-", "-o", "out.jsonl", stdin='{"prompt": "a"}\n{"prompt": "c"}\n')
    assert again.returncode == 0
    assert [row["text"] for row in read(work / "out.jsonl")] == ["echo: a", "echo: c"]


def test_a_refused_key_stops_the_batch(llmctl: Run, server: TestServer, work: Path) -> None:
    """Where the key is refused no other row would fare better: they stay pending, exit 4."""
    rows = questions(30)
    write(work / "in.jsonl", rows)
    server.script(queue=[None] * 5, default="key_refused")
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--concurrency", "2", "--json")
    assert done.returncode == 4
    summary = json.loads(done.stdout)
    assert requests(server) <= 7
    assert (summary["ok"], summary["failed"], summary["pending"]) == (5, 0, 25)
    assert summary["stopped"]["type"] == "auth"
    assert [row["status"] for row in read(work / "out.jsonl")].count("pending") == 25
    assert names(work) == {"in.jsonl", "out.jsonl", "out.jsonl.journal"}
    server.script()
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    assert sum(entry["status"] == "200" for entry in server.log()) == 30


def test_a_budget_stops_the_batch(llmctl: Run, server: TestServer, work: Path) -> None:
    """What a budget has no room for stays pending, exit 6; failed rows beside it do not hide that."""
    (work / "profiles").mkdir()
    (work / "profiles" / "tight.yaml").write_text(
        "extends: dev\nmodels: {main: {model: openai/gpt-4o-mini, params: {max_tokens: 10}}}\n"
        "budgets: [{limit: 0.0001, per: total}]\n"
    )
    write(work / "in.jsonl", questions(60))
    server.script(match=[{"contains": "question 0", "default": "status:400"}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "tight", "--json", "--concurrency", "4")
    assert done.returncode == 6, done.stderr
    summary = json.loads(done.stdout)
    assert summary["failed"] == 1
    assert summary["pending"] > 0
    assert summary["ok"] + summary["failed"] + summary["pending"] == 60
    assert summary["cost_usd"] <= 0.0001


@pytest.mark.parametrize("own", ["tag", "model", "unpriced"])
def test_a_budget_of_its_own_refuses_a_row_and_no_other(
    llmctl: Run, server: TestServer, work: Path, own: str
) -> None:
    """A tag whose money is gone, or a model without a price, is those rows' matter: the others go on."""
    budget = {"tag": "tag: ci", "model": "model: openai/gpt-4.1", "unpriced": "tag: never"}[own]
    (work / "profiles").mkdir()
    (work / "profiles" / "own.yaml").write_text(
        f"extends: dev\nbudgets: [{{limit: 0.0000001, per: total, {budget}}}, {{limit: 5, per: day}}]\n"
    )
    more = {
        "tag": {"tag": "ci"},
        "model": {"model": "openai/gpt-4.1"},
        "unpriced": {"model": "openai/made-up"},
    }
    rows = [{"prompt": f"question {n}", **(more[own] if n % 2 else {})} for n in range(8)]
    write(work / "in.jsonl", rows)
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "own", "--json")
    assert done.returncode == 9, done.stderr
    found = read(work / "out.jsonl")
    assert [row["status"] for row in found] == ["ok", "refused"] * 4
    assert {row["error"]["type"] for row in found if row["error"]} == {"budget"}
    assert requests(server) == 4


@pytest.mark.parametrize("at_once", ["1", "4"])
def test_a_tag_without_money_refuses_no_other_tag(
    llmctl: Run, server: TestServer, work: Path, at_once: str
) -> None:
    """The same question under another tag is asked and answered; resumed, neither is taken for the other."""
    (work / "profiles").mkdir()
    poor, rich = "{limit: 0.0000001, per: total, tag: poor}", "{limit: 5, per: total, tag: rich}"
    (work / "profiles" / "tags.yaml").write_text(f"extends: dev\nbudgets: [{poor}, {rich}]\n")
    rows = [{"prompt": "same", "tag": tag} for tag in ("poor", "rich", "poor", "rich")]
    args = ("batch", "in.jsonl", "-o", "out.jsonl", "-p", "tags", "--concurrency", at_once, "--no-cache")
    write(work / "in.jsonl", rows[:1])
    assert llmctl(*args).returncode == 7  # all that there is was refused
    write(work / "in.jsonl", rows)
    assert llmctl(*args).returncode == 9
    assert [row["status"] for row in read(work / "out.jsonl")] == ["refused", "ok", "ok", "ok"]
    assert requests(server) == 1


def test_a_refused_row(llmctl: Run, server: TestServer, work: Path) -> None:
    """What the privacy rules keep from being sent is `refused`, costs nothing, and is told by exit 9."""
    (work / "profiles").mkdir()
    (work / "profiles" / "short.yaml").write_text(
        "extends: dev\nprivacy: {max_chars: 20, over_max: refuse}\n"
    )
    write(work / "in.jsonl", [{"prompt": "short"}, {"prompt": "long " * 20}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "short", "--json")
    assert done.returncode == 9
    ok, refused = read(work / "out.jsonl")
    assert (ok["status"], refused["status"], refused["attempts"], refused["cost_usd"]) == (
        "ok",
        "refused",
        0,
        0,
    )
    assert asked(server) == ["short"]
    assert json.loads(done.stdout)["refused"] == 1


def test_the_summary(llmctl: Run, server: TestServer, work: Path) -> None:
    """--json: one object on stdout with what CI wants to know."""
    write(work / "in.jsonl", [*questions(3), {"prompt": "question 0"}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--json")
    found = json.loads(done.stdout)
    assert found.keys() >= SUMMARY
    assert (found["schema"], found["rows"], found["ok"], found["requests"], found["deduplicated"]) == (
        1,
        4,
        4,
        3,
        1,
    )
    assert found["out"] == "out.jsonl"
    assert found["failed_out"] is None
    assert found["usage"]["input_tokens"] == server.stats()["billed"]["input_tokens"]
    assert found["latency_s"]["p50"] <= found["latency_s"]["p95"] <= found["latency_s"]["p99"]
    assert done.stderr == ""
    assert llmctl("batch", "in.jsonl", "--json").returncode == 2


def test_progress_without_a_terminal(environ: dict[str, str], server: TestServer, work: Path) -> None:
    """A log gets a plain line now and then, and the table at the end; with -q nothing."""
    write(work / "in.jsonl", questions(3))
    server.script(latency=0.2)
    code, _, err = start(environ, work, "in.jsonl", "-o", "out.jsonl").end()
    assert code == 0
    assert "\x1b" not in err
    assert "\r" not in err
    assert "rows          3" in err
    assert len(err.splitlines()) < 20
    assert start(environ, work, "in.jsonl", "-o", "quiet.jsonl", "-q").end() == (0, "", "")


def test_progress_now_and_then(server: TestServer, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A line at most every ten seconds where there is no terminal: what is done, cost and time left."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    tally = Tally()
    tally.rows, tally.ok, tally.durable, tally.cost, tally.requests = 4000, 1000, 990, 5_000_000, 1002
    progress = Progress(tally, quiet=False, live=False)
    for _ in range(250):
        now[0] += 0.1
        progress.tick()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("llmctl: 990 of 4,000 rows, ")
    assert ", 2 retries, " in told[0]
    assert told[1].endswith(" s left")
    quiet = Progress(tally, quiet=True, live=False)
    now[0] += 60
    quiet.tick()
    assert capsys.readouterr().err == ""


def on_terminal(environ: dict[str, str], work: Path, *args: str, stdout: bool) -> bytes:
    """What a batch that goes well shows on a terminal: stderr, and stdout too if asked."""
    terminal, theirs = pty.openpty()
    running = subprocess.Popen(
        command("in.jsonl", *args, "--concurrency", "2"),
        cwd=work,
        env={**environ, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout else None,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    assert running.wait(30) == 0
    return shown


def test_progress_on_a_terminal(environ: dict[str, str], server: TestServer, work: Path) -> None:
    """A person sees the rows go by, and has the cursor back at the end."""
    write(work / "in.jsonl", questions(12))
    server.script(latency=0.2)
    shown = on_terminal(environ, work, "-o", "out.jsonl", stdout=False)
    assert b" of 12 rows" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert b"deduplicated" in shown


def test_answers_on_a_terminal(environ: dict[str, str], server: TestServer, work: Path) -> None:
    """Where the answers themselves are shown, nothing is drawn over them."""
    write(work / "in.jsonl", questions(12))
    server.script(latency=0.1)
    shown = on_terminal(environ, work, stdout=True)
    assert b"\x1b[?25l" not in shown
    rows = [json.loads(line) for line in shown.splitlines() if line.startswith(b"{")]
    assert [row["text"] for row in rows] == [f"echo: question {n}" for n in range(12)]


def test_a_folder_whose_name_is_no_utf8(
    llmctl: Run, environ: dict[str, str], server: TestServer, work: Path
) -> None:
    """File systems take any bytes; `purge` finds the journal there again."""
    folder = work / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    write(folder / "in.jsonl", questions(2))
    done = subprocess.run(
        [*command("in.jsonl", "-o", "out.jsonl", "-q")],
        cwd=folder,
        env=environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(read(folder / "out.jsonl")) == 2
    assert llmctl("purge", "--all").returncode == 0
    assert not (folder / "out.jsonl.journal").exists()
