"""llmctl estimate: what a run or a batch would cost, before anything is sent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmctl.ask import Ask
from llmctl.cli.inputs import prompt_text, usd
from llmctl.cli.options import current
from llmctl.cli.session import services, warn
from llmctl.cli.shared import Asking, ask_of, spread
from llmctl.core.errors import UsageError
from llmctl.core.files import expanded
from llmctl.core.loop import run as run_core
from llmctl.core.money import show_usd
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.batch.job import Job
    from llmctl.estimate import Estimate, Line, Share
    from llmctl.formats.report import Table
    from llmctl.pricing.estimate import Range

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@spread
def estimate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT|FILE]", help="As for `batch` where it is a file or `-`, else as for `run`."
        ),
    ] = None,
    *,
    asking: Asking,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Leave out what is finished in this output.")
    ] = None,
    max_cost: Annotated[
        str | None,
        typer.Option("--max-cost", metavar="USD", help="A limit to judge by; exit 6 where it is over."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, max=2**53, help="The first N rows only.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart/--resume", help="As if nothing were finished.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Failed rows would be asked again.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Every N-th row from the I-th on.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=1, hidden=True)] = None,
    rpm: Annotated[float | None, typer.Option("--rpm", hidden=True)] = None,
    tpm: Annotated[float | None, typer.Option("--tpm", hidden=True)] = None,
    order: Annotated[str, typer.Option("--order", hidden=True)] = "input",
    format: Annotated[str | None, typer.Option("--format", hidden=True)] = None,
) -> int:
    """What it would cost: low, expected and most, without hits and doubles. Nothing is sent."""
    # Taken so that a batch's own command line can be estimated; how fast and in which form costs nothing.
    del concurrency, rpm, tpm, order, format
    from llmctl.batch.job import Job
    from llmctl.cli.batch import shard_of

    opened = services()
    opened.max_cost = None if max_cost is None else usd(max_cost, "--max-cost")
    if what is not None and is_file(what):
        job = Job(
            ask=ask_of(opened, asking), out=out, limit=limit, shard=shard_of(shard), restart=restart,
            retry_failed=retry_failed,
        )  # fmt: skip
        return of_batch(opened, job, what)
    if out is not None or limit is not None or shard is not None:
        raise UsageError("-o, --limit and --shard are for files", hint="name a file of prompts")
    return of_run(opened, ask_of(opened, asking, prompt_text(what)))


def is_file(what: str) -> bool:
    """`-`, a file that is there, or a name that can only be one: a misspelt file is no prompt."""
    from llmctl.batch.source import KINDS, PACKINGS

    if what == "-":
        return True
    if len(what) > 1000 or "\n" in what or what.startswith("@"):
        return False
    path = expanded(what)
    try:
        there = path.is_file()
    except OSError:  # no file has so long a name, and no prompt is looked for where nobody may look
        there = False
    return there or (" " not in what and path.suffix.lower() in {*KINDS, *PACKINGS})


def of_run(opened: Services, ask: Ask) -> int:
    """`run --dry-run`: the estimate on stdout, and the exit code of its verdict."""
    from llmctl.batch.job import Job
    from llmctl.estimate import of_prompt

    return _told(opened, of_prompt(opened, Job(ask=ask)))


def of_batch(opened: Services, job: Job, source: str) -> int:
    """`batch --dry-run`: likewise."""
    from llmctl.batch.source import Source
    from llmctl.estimate import of_file

    with Source(None if source == "-" else source) as rows:
        return _told(opened, of_file(opened, job, rows))


def _told(opened: Services, found: Estimate) -> int:
    run_core(opened.close())
    if found.reason and not current().quiet:
        warn(found.reason if found.invalid == 1 else f"{found.reason} (and {found.invalid - 1:,} more)")
    if current().json:
        from llmctl.formats.envelope import write_json

        write_json(found.envelope())
        return found.exit_code
    from llmctl.formats.report import look, render

    style = look(sys.stdout, os.environ)
    for place, table in enumerate(tables(found)):
        if place:
            sys.stdout.write("\n")
        render(table, "table", sys.stdout, style)
    return found.exit_code


def tables(found: Estimate) -> list[Table]:
    """The rows, the money, how each model was forecast, and every budget."""
    from llmctl.formats.report import Column, Table

    rows = [(name, getattr(found, key)) for name, key in ROWS if getattr(found, key) or key in ALWAYS]
    total = found.total
    money = [
        ("input tokens", total.input_tokens, total.input_tokens, total.input_tokens),
        ("output tokens", *_parts(total.output)),
        ("cost", *map(show_usd, _parts(total.cost))),
    ]
    wide = (Column(""), *(Column(name, "right") for name in ("low", "expected", "most")))
    shown = [
        Table("", (Column("rows"), Column(f"{found.rows:,}", "right")), rows),
        Table("", wide, money, note=f"verdict: {said(found)}"),
    ]
    if found.lines:
        heads = (*(Column(name) for name in ("model", "counted with", "answers expected from")),)
        numbers = (*(Column(name, "right") for name in ("requests", "expected", "most")),)
        shown.append(Table("", heads + numbers, [_line(line) for line in found.lines]))
    if found.budgets:
        heads = (
            Column("budget"),
            *(Column(n, "right") for n in ("limit", "left", "needed")),
            Column("verdict"),
        )
        shown.append(Table("", heads, [_share(share) for share in found.budgets]))
    return shown


ROWS = (
    ("cannot be asked", "invalid"),
    ("finished", "finished"),
    ("duplicates", "duplicates"),
    ("in the cache", "cached"),
    ("to send", "to_send"),
)
ALWAYS = frozenset({"to_send"})


def said(found: Estimate) -> str:
    """The verdict in words, with what to do where it is no."""
    if found.verdict == "unpriced":
        unknown = [line for line in found.lines if line.sums.cost.most is None]
        names = ", ".join(dict.fromkeys(line.model for line in unknown))
        stopped = "; a budget refuses it" if found.exit_code else ""
        free = next((line.model for line in unknown if line.sums.cost.low is None), None)
        remedy = "limit its answers: -O max_tokens=1000"
        if free is not None:
            remedy = _declare(free)
        elif all(line.sums.output.most is not None for line in unknown):
            remedy = "nothing limits how often it searches the web, or another tool of its provider's"
        return f"unpriced: it is not known what {names} may cost{stopped} ({remedy})"
    if found.verdict == "over":
        over = ", ".join(share.status.name for share in found.budgets if share.verdict == "over")
        return f"over: it may cost more than is left of {over}"
    return "fits"


def _declare(model: str) -> str:
    from llmctl.pricing.reservation import declare

    return declare(model)


def _parts(found: Range) -> tuple[Any, Any, Any]:
    return found.low, found.expected, found.most


def _line(line: Line) -> list[Any]:
    history = line.history
    source = "the rule: no calls yet"
    if history:
        source = f"{'1 call' if history.calls == 1 else f'{history.calls:,} calls'} of {history.of}"
    model = line.model if not line.step else f"{line.model} (where step {line.step} fails)"
    counted = line.tokenizer if line.exact else f"{line.tokenizer} (nearest)"
    cost = line.sums.cost
    return [model, counted, source, line.sums.requests, show_usd(cost.expected), show_usd(cost.most)]


def _share(share: Share) -> list[Any]:
    status = share.status
    return [status.name, show_usd(status.limit), show_usd(status.left), show_usd(share.needs), share.verdict]
