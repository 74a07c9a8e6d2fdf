"""llmctl models: the embedded model's weights."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.formats.envelope import write_json

app = typer.Typer(help="Models.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def models() -> None:
    """Models: the embedded model's weights."""


@app.command()
def pull(name: Annotated[str, typer.Argument(help="The embedded model.")] = "smollm2") -> int:
    """Fetch the embedded model's weights: one file, checked against its known sum."""
    from llmctl.providers.weights import pull as pull_weights

    options = current()
    progress = None if options.quiet or options.json or not sys.stderr.isatty() else _progress
    path = pull_weights(name, services().home, progress)
    if options.json:
        write_json({"model": f"local/{name}", "path": str(path)})
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def _progress(done: int, total: int) -> None:
    end = "\n" if done >= total else ""
    sys.stderr.write(f"\rllmctl: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB{end}")
