"""llmctl usage: the ledger as a report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services, warn
from llmctl.core.errors import UsageError
from llmctl.formats.report import Format, Look, look, render
from llmctl.usage.report import BY, Query, Report, report
from llmctl.usage.times import moment, zone

if TYPE_CHECKING:
    from llmctl.usage.calls import Call

app = typer.Typer(rich_markup_mode=None, add_completion=False)

FORMATS = ("table", "json", "csv", "markdown")
TEXTS = {"": "table", ".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown"}
PICTURES = ("svg", "html", "png")
DOTTED = tuple(f".{kind}" for kind in PICTURES)
LIMIT = 100

# Names of their own in the environment: LLMCTL_MODEL and the like say what to run, not what to show.
Shown = Annotated[
    str | None, typer.Option("--format", envvar="LLMCTL_USAGE_FORMAT", help=f"{', '.join(FORMATS)}.")
]
Since = Annotated[
    str | None, typer.Option("--since", help="From when: 7d, 24h, today, 2026-11, 2026-11-22, or ISO 8601.")
]
Until = Annotated[str | None, typer.Option("--until", help="To when; a day or a month to its end.")]
Tz = Annotated[
    str | None,
    typer.Option("--tz", help="Zone of days and hours, as Europe/Madrid. Default: this machine's."),
]
Model = Annotated[str | None, typer.Option("--model", envvar="LLMCTL_USAGE_MODEL", help="Only this model.")]
Tag = Annotated[
    str | None,
    typer.Option("--tag", envvar="LLMCTL_USAGE_TAG", help="Only this tag; '' for calls without one."),
]
OnlyProfile = Annotated[str | None, typer.Option("--only-profile", help="Only calls under this profile.")]


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    since: Since = None,
    until: Until = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", help=f"Group by {', '.join(BY)}; repeatable, or with commas. Default: day and model."
        ),
    ] = None,
    tz: Tz = None,
    format: Shown = None,
    chart: Annotated[bool, typer.Option("--chart", help="Draw bars, or a line over many days.")] = False,
    calls: Annotated[bool, typer.Option("--calls", help="One line a call, the newest last.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            envvar="LLMCTL_USAGE_LIMIT",
            min=0,
            help=f"Of --calls: the newest so many; 0 is all. Default: {LIMIT}.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            envvar="LLMCTL_USAGE_OUTPUT",
            help="A file: .svg, .html, .png, .csv, .md, .json, .txt.",
        ),
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            "--prometheus",
            envvar="LLMCTL_USAGE_PROMETHEUS",
            metavar="FILE",
            help="Write everything as metrics for Prometheus, for a node exporter's folder; - is stdout.",
        ),
    ] = None,
    model: Model = None,
    tag: Tag = None,
    only_profile: OnlyProfile = None,
) -> int:
    """What was asked, and what it cost."""
    if context.invoked_subcommand:
        _nothing_before(context)
        return 0
    if prometheus is not None:
        return _prometheus(context, prometheus, (only_profile, model, tag))
    shown = _format(format, output)
    if chart and shown not in PICTURES:
        shown = "chart"
    grouped = tuple(dict.fromkeys(name for each in by or ("day", "model") for name in each.split(",")))
    query = _query(since, until, tz, grouped, (only_profile, model, tag))
    if calls:
        return _calls(query, limit, shown, output)
    found = report(_ledger(), query)
    if shown in PICTURES:
        assert output is not None
        return _picture(found, shown, output)
    from llmctl.cli.breaker import held_back

    more = {"breakers": held_back(services())}
    return _written(output, lambda stream, looks: _write(found, shown, stream, looks, more))


@app.command()
def reprice(
    since: Since = None,
    until: Until = None,
    tz: Tz = None,
    model: Model = None,
    tag: Tag = None,
    only_profile: OnlyProfile = None,
    format: Shown = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", envvar="LLMCTL_USAGE_APPLY", help="Write the new costs into the ledger."),
    ] = False,
) -> int:
    """What the same answers cost by the present prices; the ledger stays as it is without --apply."""
    from llmctl.formats.usage_reprice import table
    from llmctl.usage.reprice import reprice as work

    shown = _format(format, None)
    query = _query(since, until, tz, (), (only_profile, model, tag))
    opened = services()
    found = work(_ledger(), query, opened.price, snapshot=opened.prices.snapshot, apply=apply)
    if shown == "json":
        from llmctl.formats.envelope import write_json

        write_json({**found.envelope(), "prices": opened.prices.snapshot})
    else:
        render(table(found), _text(shown), sys.stdout, look(sys.stdout, os.environ))
    return 0


def _prometheus(context: typer.Context, file: str, only: tuple[str | None, str | None, str | None]) -> int:
    """Counters have no window: they only grow, and Prometheus takes differences."""
    from llmctl.formats.file import write_file
    from llmctl.watching import exposition

    for name, value in context.params.items():
        if value and name not in ("prometheus", "model", "tag", "only_profile"):
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing to --prometheus",
                hint="it writes all counters; Prometheus asks for windows itself",
            )
    profile, model, tag = only
    text = exposition(services(), Query(profile=profile, model=model, tag=tag))
    if file == "-":
        sys.stdout.write(text)
        return 0
    # Read by the node exporter, which is another user. It looks for names that end with .prom alone.
    write_file(file, text.encode("utf-8", "backslashreplace"), 0o644)
    if not file.endswith(".prom") and Path(file).is_file() and not current().quiet:
        warn(f"{file}: a node exporter reads files alone whose names end with .prom")
    return 0


def _nothing_before(context: typer.Context) -> None:
    """Options of the report mean nothing to a subcommand: better refused than forgotten."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            command = context.invoked_subcommand
            raise UsageError(
                f"--{name.replace('_', '-')} stands before {command}", hint=f"put it after {command}"
            )


def _ledger() -> Path:
    return services().home / "ledger.db"


def _query(
    since: str | None,
    until: str | None,
    tz: str | None,
    by: tuple[str, ...],
    only: tuple[str | None, str | None, str | None],
) -> Query:
    where = zone(tz)
    now = time.time()
    first = None if since is None else moment(since, now, where)
    last = None if until is None else moment(until, now, where, end=True)
    if first is not None and last is not None and first >= last:
        raise UsageError(f"--since {since} is not before --until {until}", hint="exchange them")
    profile, model, tag = only
    return Query(first, last, by, tz, profile, model, tag)


def _format(given: str | None, output: str | None) -> str:
    """What was asked for: by name, by a picture's suffix, by --json, by another suffix."""
    if given is not None:
        if given not in FORMATS:
            raise UsageError(
                f"--format {given}: there is no such format", hint=f"one of {', '.join(FORMATS)}"
            )
        return given
    suffix = Path(output).suffix.lower() if output else ""
    if suffix[1:] in PICTURES:
        return suffix[1:]
    if current().json:
        return "json"
    if suffix not in TEXTS:
        raise UsageError(
            f"-o {output}: {suffix} is not known here", hint=f"one of {', '.join((*TEXTS, *DOTTED))[2:]}"
        )
    return TEXTS[suffix]


def _text(shown: str) -> Format:
    return "csv" if shown == "csv" else "markdown" if shown == "markdown" else "table"


def _write(found: Report, shown: str, stream: TextIO, looks: Look, more: Mapping[str, Any]) -> None:
    if shown == "json":
        from llmctl.formats.envelope import json_line

        stream.write(json_line({**found.envelope(), **more}))
    elif shown == "chart":
        from llmctl.formats.chart import write
        from llmctl.formats.usage_chart import chart

        write(chart(found), stream, looks)
    else:
        from llmctl.formats.usage import sheet, table

        render(sheet(found) if shown == "csv" else table(found), _text(shown), stream, looks)


def _calls(query: Query, limit: int | None, shown: str, output: str | None) -> int:
    if shown == "chart" or shown in PICTURES:
        raise UsageError("--calls cannot be drawn", hint=f"choose --format {', '.join(FORMATS)}")
    found = _found(query, LIMIT if limit is None else limit, told=limit is None)
    first = list(islice(found, 1))  # what is wrong with the ledger is told before anything is written
    found = chain(first, found)

    def write(stream: TextIO, looks: Look) -> None:
        from llmctl.formats.usage_calls import table, write_csv, write_json

        if shown == "json":
            write_json(found, query, stream)
        elif shown == "csv":
            write_csv(found, query.tz, stream)
        else:
            render(table(list(found), query.tz), _text(shown), stream, looks)

    return _written(output, write)


def _found(query: Query, most: int, told: bool) -> Iterator[Call]:
    """The newest calls, 0 for all; where there are more, and nobody said how many, it is told."""
    from llmctl.usage.calls import calls, every

    if not most:
        return every(_ledger(), query)
    found = calls(_ledger(), query, most + 1)
    if len(found) > most and told and not current().quiet:
        warn(f"only the newest {most:,} calls are shown; --limit 0 shows all")
    return iter(found[-most:])


def _picture(found: Report, kind: str, output: str) -> int:
    from llmctl.formats.file import write_file
    from llmctl.formats.picture import picture
    from llmctl.formats.usage import table
    from llmctl.formats.usage_chart import chart

    write_file(output, picture(chart(found), table(found), kind))
    return 0


def _written(output: str | None, write: Callable[[TextIO, Look], None]) -> int:
    """On stdout, or as a whole into the file."""
    if output is None or output == "-":
        write(sys.stdout, look(sys.stdout, os.environ))
        return 0
    from llmctl.formats.file import write_file

    text = StringIO()
    write(text, Look())
    write_file(output, text.getvalue().encode("utf-8", "backslashreplace"))
    return 0
