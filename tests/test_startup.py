"""Speed is a promise: what a command does not need is not imported, and no key is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import Run

HEAVY = (
    "litellm",
    "aiohttp",
    "asyncio",
    "jinja2",
    "pydantic",
    "openai",
    "tenacity",
    "numpy",
    "tiktoken",
    "httpx",
    "llmctl.prompts",
)


def loaded(environ: dict[str, str], *args: str) -> set[str]:
    """The heavy modules that a command line has imported by its end."""
    code = (
        "import sys, os; from llmctl.cli.app import run; code = run(sys.argv[1:]); "
        f"sys.stderr.write('LOADED ' + ' '.join(n for n in {HEAVY!r} if n in sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input="",
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize(
    "args",
    [("--help",), ("usage",), ("profile", "show"), ("cache", "stats"), ("run", "--help"), ("models", "list")],
)
def test_light_commands_import_nothing_heavy(environ: dict[str, str], args: tuple[str, ...]) -> None:
    """A second saved at every start is what makes a shell loop bearable."""
    assert loaded(environ, *args) == set()


def test_a_cached_run_imports_nothing_heavy(environ: dict[str, str], llmctl: Run) -> None:
    """A hit waits for nothing, so it needs no event loop and no HTTP client."""
    assert llmctl("run", "hello").returncode == 0
    assert loaded(environ, "run", "hello") == set()


def test_a_plain_provider_never_imports_litellm(environ: dict[str, str]) -> None:
    """Its import costs more than most calls take."""
    assert "litellm" not in loaded(environ, "run", "hello")


def test_version_imports_no_command_line_library() -> None:
    """`llmctl --version` is asked by scripts, often."""
    code = (
        "import sys; sys.argv = ['llmctl', '--version']; "
        "from llmctl.__main__ import main; main(); assert 'typer' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("llmctl ")
