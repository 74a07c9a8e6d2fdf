"""llmctl init: a starter llmctl.yaml and profiles/ in this folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from llmctl.cli.options import current
from llmctl.core.errors import ConfigError, StorageError
from llmctl.formats.envelope import write_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SETTINGS = """\
# Settings of this project for llmctl; keys of a profile may stand here too and win over it.
# Which profile is used where -p does not say: a file of ./profiles/, or a shipped one
# (dev, prod, local, gentle, thrifty; see `llmctl profile list`).
profile: team
"""
TEAM = """\
# This project's own profile. Everything it does not say comes from `dev`.
# See it resolved, each value with where it came from: llmctl profile show team
extends: dev
description: this project's models and limits
models:
  main: {model: openai/gpt-4o-mini, params: {temperature: 0.3, max_tokens: 1000}}
  # more models, chosen with -m; keys are references, never the keys themselves:
  # smart: {model: anthropic/claude-sonnet-4-5, keys: [env:ANTHROPIC_API_KEY]}
# budgets: [{limit: 5, per: day, tz: UTC}]
# limits: {concurrency: 8, rpm: 500}
"""
FILES = {"llmctl.yaml": SETTINGS, "profiles/team.yaml": TEAM}


@app.command()
def init(
    force: Annotated[
        bool,
        typer.Option("--force", envvar="LLMCTL_INIT_FORCE", help="Replace files that are there already."),
    ] = False,
) -> int:
    """Write a starter llmctl.yaml and profiles/ here."""
    there = [name for name in FILES if Path(name).exists()]
    if there and not force:
        raise ConfigError(f"{', '.join(there)}: there already", hint="llmctl init --force replaces them")
    try:
        for name, text in FILES.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{error.filename}: cannot be written: {error.strerror}") from None
    if current().json:
        write_json({"written": list(FILES)})
    else:
        sys.stdout.write("".join(f"wrote {name}\n" for name in FILES))
    return 0
