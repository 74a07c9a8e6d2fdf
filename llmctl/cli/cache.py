"""llmctl cache: what is stored, and its end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmctl.ask import compose
from llmctl.cli.inputs import prompt_text
from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.cli.shared import Wording, ask_of, spread
from llmctl.core.money import to_usd
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
@spread
def explain(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The prompt; piped text comes before it. `-`: stdin alone, `@FILE`: a file."),
    ] = None,
    *,
    asking: Wording,
) -> int:
    """Why a prompt would hit or miss, and what differs from the nearest stored request. Nothing is sent."""
    from llmctl.explain import explain as explained

    opened = services()
    found = explained(opened, compose(opened, ask_of(opened, asking, prompt_text(prompt))))
    if current().json:
        write_json(
            {
                "hit": found.hit or False,
                "reason": found.reason,
                "saved_usd": to_usd(found.saved) if found.hit else None,
                "differs": [{"field": d.part, "here": d.here, "there": d.there} for d in found.differs],
                "near": [{"cosine": round(n.cosine, 6), "why_not": n.why} for n in found.near],
            }
        )
        return 0
    told = [f"hit ({found.hit})" if found.hit else "miss", f": {found.reason}\n"]
    told += [
        f"  {d.part}: {said(d.here, d.part)} here, {said(d.there, d.part)} there\n" for d in found.differs
    ]
    if not found.hit:
        near = [each for each in found.near if each.why]
        told += [f"  nearly equal (cosine {each.cosine:.3f}), not served: {each.why}\n" for each in near]
    sys.stdout.write("".join(told))
    return 0


def said(value: object, part: str) -> str:
    """A part of a request for people; texts are known by their hashes alone."""
    if value is None:
        return "none"
    return f"#{value}" if isinstance(value, str) and part not in ("model", "api_base") else str(value)


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
