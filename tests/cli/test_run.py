"""`llmctl run` as users type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmctl.usage.report import Query, report

from ..conftest import KEY, Run
from ..server.client import TestServer


def asked(server: TestServer) -> list[dict[str, object]]:
    return [entry["body"] for entry in server.log()]


def test_an_answer_goes_to_stdout_and_nothing_else(llmctl: Run) -> None:
    """Scripts read stdout: a word too many breaks them."""
    done = llmctl("run", "hello there")
    assert (done.returncode, done.stdout, done.stderr) == (0, "echo: hello there\n", "")


def test_the_second_time_costs_nothing(llmctl: Run, server: TestServer) -> None:
    """The same question is paid for once."""
    first, second = (json.loads(llmctl("run", "--json", "hello").stdout) for _ in range(2))
    assert len(server.log()) == 1
    assert (first["cached"], second["cached"]) == (False, "exact")
    assert second["cost_usd"] == 0
    assert second["saved_usd"] == first["cost_usd"] > 0
    assert second["text"] == first["text"]


def test_no_cache_and_refresh(llmctl: Run, server: TestServer) -> None:
    """--no-cache leaves the store alone, --refresh replaces what is in it."""
    server.script(queue=["answer:one", "answer:two", "answer:three"])
    said = [llmctl("run", "q", *flags).stdout for flags in ((), ("--no-cache",), (), ("--refresh",), ())]
    assert said == ["one\n", "two\n", "one\n", "three\n", "three\n"]


@pytest.mark.parametrize(
    ("args", "stdin", "prompt"),
    [
        (("Summarise",), "some text\n", "some text\n\nSummarise"),
        (("-",), "only this", "only this"),
        (("Hi",), "", "Hi"),
        ((), "piped alone", "piped alone"),
    ],
)
def test_stdin_comes_before_the_prompt(
    llmctl: Run, server: TestServer, args: tuple[str, ...], stdin: str, prompt: str
) -> None:
    """`cat file | llmctl run 'Summarise'` is what pipes are for."""
    assert llmctl("run", *args, stdin=stdin).returncode == 0
    assert asked(server)[0]["messages"] == [{"role": "user", "content": prompt}]


def test_a_prompt_from_a_file(llmctl: Run, server: TestServer, work: Path) -> None:
    """@FILE reads it, with or without a byte-order mark."""
    (work / "p.txt").write_bytes(b"\xef\xbb\xbfname three colours")
    assert llmctl("run", "@p.txt").returncode == 0
    assert asked(server)[0]["messages"] == [{"role": "user", "content": "name three colours"}]


def test_parameters_come_from_profile_and_options(llmctl: Run, server: TestServer) -> None:
    """dev says 2000 tokens and 0.7; -O wins, and null leaves a parameter out."""
    llmctl("run", "q", "-O", "temperature=0.1", "-O", "top_p=null", "-O", "seed=7", "-s", "Be brief")
    body = asked(server)[0]
    assert body["max_tokens"] == 2000
    assert body["temperature"] == 0.1
    assert body["seed"] == 7
    assert "top_p" not in body
    assert body["messages"][0] == {"role": "system", "content": "Be brief"}  # type: ignore[index]  # a list


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"])
@pytest.mark.parametrize("mode", ["--stream", "--json"])
def test_other_providers_answer_through_the_same_door(llmctl: Run, model: str, mode: str) -> None:
    """One command for all: text, usage and cost whichever way it is asked."""
    done = llmctl("run", "-m", model, mode, "hello")
    assert done.returncode == 0, done.stderr
    if mode == "--stream":
        assert done.stdout == "echo: hello\n"
        return
    found = json.loads(done.stdout)
    assert found["text"] == "echo: hello"
    assert found["cost_usd"] > 0
    assert found["usage"]["input_tokens"] > 0


def test_streaming_shows_text_before_the_answer_is_whole(
    environ: dict[str, str], work: Path, server: TestServer
) -> None:
    """A reader sees the first word while the last is not yet made."""
    server.script(default="stream_pause:0.3")
    process = subprocess.Popen(
        [sys.executable, "-m", "llmctl", "run", "one two three four"],
        env=environ,
        cwd=work,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.read(5) == b"echo:"
    assert process.poll() is None
    assert process.communicate(timeout=30)[0].endswith(b"four\n")


def test_usage_shows_both_calls(llmctl: Run) -> None:
    """The ledger counts what was asked of llmctl, hits included."""
    llmctl("run", "hello")
    llmctl("run", "hello")
    total = json.loads(llmctl("usage", "--json").stdout)["total"]
    assert (total["calls"], total["ok"], total["cached"]) == (2, 2, 1)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("run",), 2, "no prompt"),
        (("run", "x", "-O", "nonsense"), 2, "not key=value"),
        (("run", "x", "-O", "temperature=nan"), 2, "finite"),
        (("run", "x", "-O", "temperature=1e999"), 2, "finite"),
        (("run", "x", "--nope"), 2, "--nope"),
        (("nope",), 2, "nope"),
        (("run", "x", "-m", "gpt-4o-mni"), 2, "gpt-4o-mini"),
        (("run", "x", "-p", "nope"), 3, "nope"),
        (("run", "@missing.txt"), 3, "missing.txt"),
        (("run", "@~nobody.is.it/missing.txt"), 3, "~nobody.is.it/missing.txt"),
        (("run", "x", "-p", "~nobody.is.it/x.yaml"), 3, "~nobody.is.it/x.yaml"),
        (("run", "x", "-t", "~nobody.is.it/x.md"), 3, "~nobody.is.it/x.md"),
        (("run", "x", "-f", "~nobody.is.it/x.txt"), 3, "~nobody.is.it/x.txt"),
        (("run", "x", "--schema", "~nobody.is.it/x.json"), 3, "~nobody.is.it/x.json"),
        (("run", "x", "--examples", "~nobody.is.it/x.jsonl"), 3, "~nobody.is.it/x.jsonl"),
        (("merge", "x", "-o", "n" * 300), 3, "File name too long"),
        (("batch", "-", "--limit", "9" * 23), 2, "--limit"),
        (("run", "x", "-m", "hosted_vllm/x"), 3, "HOSTED_VLLM_API_BASE"),
        (("run", "x", "--tag", "\udcff"), 2, "'?': not UTF-8"),
        (("run", "x", "-O", "stop=a\udcff"), 2, "'stop=a?': not UTF-8"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    llmctl: Run, args: tuple[str, ...], code: int, said: str
) -> None:
    """Whoever is woken at night reads one line, not a traceback."""
    done = llmctl(*args)
    assert done.returncode == code
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    found = json.loads(llmctl(*args, "--json").stdout)
    assert found["error"]["exit_code"] == code


def test_a_missing_key_is_named(llmctl: Run) -> None:
    """The variable to set stands in the message; exit 4 is the account's."""
    done = llmctl("run", "-p", "dev", "x", env={"OPENAI_API_KEY": ""})
    assert done.returncode == 4
    assert "OPENAI_API_KEY" in done.stderr


def test_a_key_is_in_no_file_and_no_stream(llmctl: Run, home: Path, server: TestServer) -> None:
    """Not in the ledger, not in the cache, not in an error that the provider echoes."""
    server.script(queue=["error_echoes_key"])
    done = llmctl("run", "x", "--debug")
    assert done.returncode != 0
    llmctl("run", "y", "-v")
    assert KEY not in done.stdout + done.stderr
    llmctl("run", f"an answer with {KEY}")  # the server says it again
    for path in home.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_files_are_the_owners_alone(llmctl: Run, home: Path) -> None:
    """Whatever the umask says: 0600 and 0700."""
    old = os.umask(0)
    try:
        llmctl("run", "x")
    finally:
        os.umask(old)
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_the_home_may_be_a_link(llmctl: Run, work: Path) -> None:
    """A home on another disk, as people place `~/.local/share`: every command takes it."""
    (work / "disk").mkdir()
    (work / "link").symlink_to(work / "disk")
    for _ in range(2):
        llmctl("--home", "link", "run", "x")
    assert llmctl("--home", "link", "usage", "--by", "status", "--format", "csv").stdout.count("ok") >= 1


def test_a_killed_run_leaves_a_whole_ledger(
    environ: dict[str, str], work: Path, home: Path, server: TestServer
) -> None:
    """kill -9 in mid-stream: what may be billed is known, nothing is corrupt, no process stays."""
    server.script(default="stream_pause:0.5")
    process = subprocess.Popen(
        [sys.executable, "-m", "llmctl", "run", "one two three four five"],
        env=environ,
        cwd=work,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.read(4)
    process.kill()
    process.wait(10)
    total = report(home / "ledger.db", Query()).total
    assert total.calls == 1
    assert total.ok == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_it_and_the_ledger_knows(
    environ: dict[str, str], work: Path, home: Path, server: TestServer, name: str, code: int
) -> None:
    """An interrupted call may be billed, and says so."""
    server.script(default="no_headers")
    process = subprocess.Popen(
        [sys.executable, "-m", "llmctl", "run", "x"],
        env=environ,
        cwd=work,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    until = time.monotonic() + 20
    while not server.log() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert report(home / "ledger.db", Query()).total.failed == 1


def test_a_closed_pipe_ends_quietly(environ: dict[str, str], work: Path, server: TestServer) -> None:
    """`| head -1` is no error."""
    server.script(default="words:5000")
    command = f"{sys.executable} -m llmctl run x | head -c 5"
    done = subprocess.run(
        ["bash", "-c", command], env=environ, cwd=work, capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
    assert len(done.stdout) == 5


@pytest.mark.parametrize(
    ("closed", "code"), [("<&-", 0), ("2>&-", 0), (">&-", 3), (">&- 2>&- <&-", 3), ("2>/dev/full >&-", 3)]
)
def test_closed_streams(closed: str, code: int, environ: dict[str, str], work: Path) -> None:
    """Their numbers must not become a file's; who cannot get the answer is told by the code."""
    command = f"{sys.executable} -m llmctl run x {closed}"
    done = subprocess.run(
        ["bash", "-c", command], env=environ, cwd=work, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert done.stdout == (b"" if code else b"echo: x\n")
    assert b"Traceback" not in done.stderr


def test_a_full_device_is_told(environ: dict[str, str], work: Path) -> None:
    """An answer that could not be written is not a success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "llmctl", "run", "x"],
            env=environ,
            cwd=work,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            input=b"",
        )
    assert done.returncode == 3
    assert b"No space left" in done.stderr


def test_an_ascii_locale_still_speaks_utf8(llmctl: Run) -> None:
    """C locales are common in cron jobs."""
    done = llmctl("run", "größe ☃", env={"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii"})
    assert done.stdout == "echo: größe ☃\n"


def test_an_env_file_of_a_parent_folder_is_not_read(
    llmctl: Run, work: Path, server: TestServer, other_server: TestServer
) -> None:
    """litellm loads the nearest .env by default, and a hostile one would take the key elsewhere."""
    base = f"{other_server.url}/v1"
    lines = f"OPENAI_API_BASE={base}\nANTHROPIC_API_BASE={base}\nANTHROPIC_BASE_URL={base}\n"
    (work.parent / ".env").write_text(lines, encoding="utf-8")
    assert llmctl("run", "-m", "anthropic/claude-sonnet-4-5", "x").returncode == 0
    assert not other_server.log()
    assert len(server.log()) == 1
