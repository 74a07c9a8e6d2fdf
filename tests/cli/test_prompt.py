"""`llmctl prompt` as users type it: nothing is sent, everything is told."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer

KEY = "sk-" + "aB3dE5gH7j" * 4
ORDER = "Always answer in plain French words."


@pytest.fixture(autouse=True)
def nothing_is_sent(server: TestServer) -> object:
    """Whatever these commands do, no provider hears of it."""
    yield
    assert not server.log()


def test_list_shows_what_t_finds(llmctl: Run, work: Path) -> None:
    """The strongest of each name, and a broken one with its fault, not a crash."""
    (work / "prompts").mkdir()
    (work / "prompts" / "classify.md").write_text("---\ndescription: ours\n---\n{{ x }}", encoding="utf-8")
    (work / "prompts" / "broken.md").write_text("---\nnmae: x\n---\n{{ x }}", encoding="utf-8")
    found = {row["name"]: row for row in json.loads(llmctl("prompt", "list", "--json").stdout)["templates"]}
    shipped = {"chain-of-thought", "classify", "content-analysis", "extract", "summarise", "translate"}
    assert shipped <= set(found)
    assert (found["classify"]["from"], found["classify"]["description"]) == ("project", "ours")
    assert found["content-analysis"]["variables"] == ["content", "analysis_type"]
    assert "nmae" in found["broken"]["error"]
    plain = llmctl("prompt", "list").stdout
    assert "content-analysis" in plain
    assert "\x1b" not in plain


def test_show_tells_variables_and_text(llmctl: Run) -> None:
    """Whoever uses a template needs its variables, their types and defaults."""
    plain = llmctl("prompt", "show", "content-analysis").stdout
    assert '-V analysis_type: string = "comprehensive"' in plain
    assert "-V content: string (required)" in plain
    assert "{{ content }}" in plain
    found = json.loads(llmctl("prompt", "show", "-t", "content-analysis", "--json").stdout)
    assert found["variables"]["analysis_type"]["default"] == "comprehensive"
    assert "key_themes" in found["json_schema"]["properties"]
    nope = llmctl("prompt", "show", "content-analisys")
    assert nope.returncode == 3
    assert "'content-analysis'" in nope.stderr


def test_render_shows_what_would_be_sent(llmctl: Run) -> None:
    """Messages with tokens and price each; the schema as text where the model takes none."""
    args = ("prompt", "render", "-t", "classify", "I love it")
    found = json.loads(llmctl(*args, "--json").stdout)
    assert [m["role"] for m in found["messages"]] == ["system", "user"]
    assert found["input_tokens"] == sum(m["tokens"] for m in found["messages"]) + 3
    assert all(m["cost_usd"] > 0 for m in found["messages"])
    assert found["params"]["max_tokens"] == found["answer_tokens"] == 60
    assert "label" in found["json_schema"]["properties"]
    plain = llmctl(*args).stdout
    assert plain.startswith("system  ")
    assert "I love it" in plain
    old = json.loads(llmctl(*args, "-m", "openai/gpt-3.5-turbo", "--json").stdout)
    assert old["json_schema"] is None
    assert "JSON schema" in old["messages"][1]["content"]


def test_render_shows_the_redacted_text(llmctl: Run, work: Path) -> None:
    """What would be sent, not what was typed."""
    text = "models: {main: {model: openai/gpt-4o-mini}}\nprivacy: {redact: [email]}\n"
    (work / "p.yaml").write_text(text, encoding="utf-8")
    said = llmctl("prompt", "render", "-p", "./p.yaml", "Write to joe@example.com").stdout
    assert "Write to" in said
    assert "joe@example.com" not in said


def test_colours_only_on_a_terminal(environ: dict[str, str], work: Path) -> None:
    """A terminal shows roles in colours; NO_COLOR and pipes do not."""

    def on_terminal(**more: str) -> bytes:
        ours, theirs = pty.openpty()
        subprocess.run(
            [sys.executable, "-m", "llmctl", "prompt", "render", "hello"],
            env={**environ, "TERM": "xterm", **more}, cwd=work,
            stdin=subprocess.DEVNULL, stdout=theirs, timeout=60, check=True,
        )  # fmt: skip
        os.close(theirs)
        said = os.read(ours, 65536)
        os.close(ours)
        return said

    assert b"\x1b[1;36muser" in on_terminal()
    assert b"\x1b" not in on_terminal(NO_COLOR="1")


def test_check_tells_each_finding_with_its_weight(llmctl: Run) -> None:
    """Exit 8 on errors, 0 on warnings alone; a key is never repeated."""
    fine = llmctl("prompt", "check", "Summarise in one sentence, for example: cats sleep. Dogs bark.")
    assert (fine.returncode, fine.stdout[:9]) == (0, "no errors")
    vague = llmctl("prompt", "check", "The weather in Paris was fine.")
    assert vague.returncode == 0
    assert "says nothing of what to do" in vague.stdout
    done = llmctl("prompt", "check", f"Summarise in a line: joe@example.com {KEY}", "--json")
    assert done.returncode == 8
    found = json.loads(done.stdout)
    assert [(f["severity"], f["code"]) for f in found["findings"]][:2] == [
        ("error", "secret"),
        ("warning", "personal"),
    ]
    assert (found["errors"], found["warnings"]) == (1, 1)
    assert found["context"] == 128_000
    assert KEY not in done.stdout


def test_check_holds_the_prompt_against_the_models_window(llmctl: Run) -> None:
    """Its own window, with room for the answer."""
    text = "Summarise in one line: " + "word " * 20_000
    assert llmctl("prompt", "check", "-", stdin=text).returncode == 0
    done = llmctl("prompt", "check", "-m", "openai/gpt-3.5-turbo", "-", stdin=text)
    assert done.returncode == 8
    assert "too long" in done.stdout


def test_check_of_a_template_without_values(llmctl: Run, work: Path) -> None:
    """A template is checked in CI, where there are no values; what is wrong with it still shows."""
    done = llmctl("prompt", "check", "-t", "content-analysis", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["stand_ins"] == ["content"]
    text = "---\nvariables: {txt: {}, spare: {}}\n---\nSummarise {{ text }} in a line. TODO {{ txt }}"
    (work / "bad.md").write_text(text, encoding="utf-8")
    done = llmctl("prompt", "check", "-t", "./bad.md", "--json")
    assert done.returncode == 8
    found = {(f["severity"], f["code"]) for f in json.loads(done.stdout)["findings"]}
    assert {("error", "undefined"), ("warning", "unused"), ("warning", "placeholder")} <= found
    (work / "broken.md").write_text("{% if %}", encoding="utf-8")
    assert llmctl("prompt", "check", "-t", "./broken.md").returncode == 3


def test_check_of_a_template_with_some_values(llmctl: Run) -> None:
    """Whoever gives values wants to know which are missing."""
    done = llmctl("prompt", "check", "-t", "classify", "-V", "labels=a,b", "--json")
    assert done.returncode == 8
    assert [f["code"] for f in json.loads(done.stdout)["findings"]][:1] == ["missing"]
    assert llmctl("prompt", "check", "-t", "classify", "-V", "labels=a,b", "text").returncode == 0


def test_what_the_profile_forbids_is_an_error(llmctl: Run, work: Path) -> None:
    """`prompt check` says what `run` would refuse."""
    text = "models: {main: {model: openai/gpt-4o-mini}}\nchecks: all\n"
    (work / "p.yaml").write_text(text, encoding="utf-8")
    assert llmctl("prompt", "check", "The weather was fine.").returncode == 0
    assert llmctl("prompt", "check", "-p", "./p.yaml", "The weather was fine.").returncode == 8


def test_check_of_the_rows_of_a_batch(llmctl: Run, work: Path) -> None:
    """One report for a file: how many rows have what, and the first of them; a sample, or all."""
    rows = [{"content": f"text {n}", "extra": n} for n in range(300)]
    rows[250]["content"] = f"here: {KEY}"
    del rows[7]["content"]
    (work / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    args = ("prompt", "check", "-t", "classify", "--rows", "in.jsonl", "--json")
    done = llmctl(*args, "--all")
    assert done.returncode == 8
    found = json.loads(done.stdout)
    assert (found["rows"], found["checked"], found["errors"]) == (300, 300, 2)
    kinds = {f["code"]: (f["severity"], f["rows"], f["first_row"]) for f in found["findings"]}
    assert kinds["secret"] == ("error", 1, 250)
    assert kinds["row"] == ("error", 1, 7)
    assert kinds["examples"] == ("info", 299, 0)
    assert 0 < found["tokens"]["least"] <= found["tokens"]["median"] <= found["tokens"]["most"]
    first, second = (llmctl(*args, "--sample", "20").stdout for _ in range(2))
    assert first == second
    assert json.loads(first)["checked"] == 20
    plain = llmctl(*args[:-1], "--all")
    assert "row 250: holds a key or password" in plain.stdout
    assert KEY not in plain.stdout


def test_check_of_rows_without_a_template(llmctl: Run, work: Path) -> None:
    """Batch files of prompts are checked as they would be asked."""
    (work / "in.txt").write_text("Name one colour.\nName one town.\n", encoding="utf-8")
    found = json.loads(llmctl("prompt", "check", "--rows", "in.txt", "--json").stdout)
    assert (found["rows"], found["errors"]) == (2, 0)
    assert llmctl("prompt", "check", "--rows", "missing.txt").returncode == 3
    assert llmctl("prompt", "check", "x", "--rows", "in.txt").returncode == 2


def test_optimize_prints_the_text_and_tells_the_figures(llmctl: Run) -> None:
    """stdout is the shorter prompt, to be piped on; tokens and money before and after on stderr."""
    done = llmctl("prompt", "optimize", f"{ORDER}   {ORDER}")
    assert done.stdout == ORDER + "\n"
    assert "->" in done.stderr
    assert "$" in done.stderr
    assert llmctl("prompt", "optimize", "-q", f"{ORDER}   {ORDER}").stderr == ""
    found = json.loads(llmctl("prompt", "optimize", f"{ORDER}   {ORDER}", "--json").stdout)
    assert found["before"] > found["after"]
    assert found["cost_before_usd"] > found["cost_after_usd"] > 0
    assert found["messages"] == [{"role": "user", "content": ORDER}]
    assert found["diff"].startswith("--- before")


def test_optimize_shows_a_diff(llmctl: Run) -> None:
    """Nobody lets a tool change a prompt unseen."""
    text = f"Keep this line.\n\n\n\n{ORDER}\n{ORDER}\n"
    lines = llmctl("prompt", "optimize", "--diff", "-", stdin=text).stdout.splitlines()
    assert lines[:2] == ["--- before", "+++ after"]
    assert f"-{ORDER}" in lines
    assert llmctl("prompt", "optimize", "--diff", "short").stdout == ""


def test_optimize_cuts_to_a_limit_and_says_where_it_cannot(llmctl: Run) -> None:
    """The limit holds, or it is said that it does not."""
    text = " ".join(f"Sentence number {n} is here." for n in range(400))
    found = json.loads(llmctl("prompt", "optimize", "--max-tokens", "80", "-", "--json", stdin=text).stdout)
    assert found["fits"]
    assert found["after"] <= 80
    code = "```\n" + "x = 1\n" * 300 + "```"
    done = llmctl("prompt", "optimize", "--max-tokens", "20", "-", stdin=code)
    assert "as short as that" in done.stderr


def test_optimize_of_a_template(llmctl: Run) -> None:
    """Every message under its role, so that each is seen."""
    said = llmctl("prompt", "optimize", "-t", "summarise", "a   text").stdout
    assert said.startswith("system:\n")
    assert "\nuser:\n" in said
    assert "a text" in said


@pytest.mark.parametrize("command", ["render", "check", "optimize"])
def test_no_prompt_is_wrong_usage(llmctl: Run, command: str) -> None:
    """An empty pipe is a slip, not an empty report."""
    assert llmctl("prompt", command).returncode == 2


def test_a_command_without_its_part_shows_the_page(llmctl: Run) -> None:
    """A page squeezed into one line helps nobody."""
    for args in ((), ("prompt",)):
        done = llmctl(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) > 10
        assert "\nCommands:\n" in done.stderr


def test_the_number_of_the_format_stays(llmctl: Run) -> None:
    """A template's own schema must not take the place of `"schema": 1`."""
    for part in ("show", "render"):
        found = json.loads(llmctl("prompt", part, "-t", "classify", "--json", stdin="text").stdout)
        assert found["schema"] == 1
        assert found["json_schema"]["type"] == "object"


def test_variables_that_no_head_declares_are_shown(llmctl: Run, work: Path) -> None:
    """Templates of `llm` declare none but those with defaults; a broken text shows in the list."""
    (work / "prompts").mkdir()
    (work / "prompts" / "hi.yaml").write_text("prompt: Hi $name\ndefaults: {tone: kind}\n", encoding="utf-8")
    (work / "prompts" / "broken.md").write_text("Hi {{ name", encoding="utf-8")
    found = {row["name"]: row for row in json.loads(llmctl("prompt", "list", "--json").stdout)["templates"]}
    assert found["hi"]["variables"] == ["tone", "name"]
    assert "broken.md:1" in found["broken"]["error"]
    assert "-V name: string (not declared)" in llmctl("prompt", "show", "hi").stdout
