"""llmctl usage: the ledger as a report."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.core.errors import UsageError
from llmctl.formats.report import FORMATS, look, render
from llmctl.usage.report import BY, Query, report
from llmctl.usage.times import moment, zone

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option("--since", help="From when: 7d, 24h, 2026-11, 2026-11-22, a time in ISO 8601."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="To when; a day or month to its end.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help=f"Group by {', '.join(BY)}; repeatable. Default: day and model."),
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option("--tz", help="Time zone of days and hours, as Europe/Madrid. Default: this machine's."),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, json, csv or markdown.")] = "table",
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only this tag; '' for calls without one.")] = None,
    only_profile: Annotated[str | None, typer.Option("--only-profile", help="Only this profile.")] = None,
) -> int:
    """What was asked, and what it cost."""
    if context.invoked_subcommand:
        return 0
    options = current()
    where = zone(tz)
    now = time.time()
    query = Query(
        since=None if since is None else moment(since, now, where),
        until=None if until is None else moment(until, now, where, end=True),
        by=tuple(dict.fromkeys(by or ("day", "model"))),
        tz=tz,
        profile=only_profile,
        model=model,
        tag=tag,
    )
    found = report(services().home / "ledger.db", query)
    if options.json or format == "json":
        from llmctl.formats.envelope import write_json

        write_json(found.envelope())
        return 0
    if format not in FORMATS:
        raise UsageError(
            f"--format {format}: there is no such format", hint=f"one of json, {', '.join(FORMATS)}"
        )
    from llmctl.formats.usage import table

    render(table(found), format, sys.stdout, look(sys.stdout, os.environ))
    return 0
