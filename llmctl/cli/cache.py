"""llmctl cache: what is stored, and its end."""

from __future__ import annotations

import sys

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.formats.envelope import write_json
from llmctl.state import neighbours
from llmctl.state.cache import AnswerCache

app = typer.Typer(help="The cache of answers.", rich_markup_mode=None, no_args_is_help=True)


def _cache() -> AnswerCache:
    opened = services()
    return opened.open_cache(max_bytes=opened.profile.cache.max_bytes)


@app.command()
def stats() -> int:
    """How many answers are stored, and how much room they take."""
    found = _cache().stats()
    if current().json:
        write_json(found)
    else:
        sys.stdout.write(
            f"{found['entries']:,} answers, {found['bytes']:,} of {found['max_bytes']:,} bytes\n"
        )
        sys.stdout.write(f"{found['folder']}\n")
    return 0


@app.command()
def clear() -> int:
    """Remove every stored answer, also of a cache that cannot be read any more."""
    cache = _cache()
    neighbours.clear(cache.folder)
    return _removed(cache.clear())


@app.command()
def prune() -> int:
    """Remove what has expired and what is over the size limit."""
    return _removed(_cache().prune())


def _removed(count: int) -> int:
    if current().json:
        write_json({"removed": count})
    else:
        sys.stdout.write(f"{count:,} answers removed\n")
    return 0
