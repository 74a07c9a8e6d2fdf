"""llmctl privacy: what would be kept from leaving, seen before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services, warner
from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.formats.envelope import write_json

if TYPE_CHECKING:
    from llmctl.batch.source import Source
    from llmctl.privacy.scan import ScanReport

app = typer.Typer(help="What would be kept from leaving: scan.", rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def group() -> None:
    """Nothing is sent by any of these commands."""


@app.command()
def scan(
    file: Annotated[
        str, typer.Argument(help="A file as batch reads it: JSON lines, CSV, text, …; - is stdin.")
    ],
    show: Annotated[bool, typer.Option("--show", help="Print the values too, with their lines.")] = False,
) -> int:
    """Count what redaction would find in a file; nothing is sent."""
    from llmctl.batch.source import Source
    from llmctl.privacy.scan import scan as search

    opened = services()
    rule = _rule(opened.profile.privacy)
    if not opened.profile.privacy.redact:
        opened.warn(f"profile {opened.resolved.name} redacts no kinds by itself: looked for all of them")
    skipped: list[int] = []
    with Source(file) as source:
        report = search(_rows(source, skipped), rule)
    for line in skipped:
        warner(current())(f"{file}:{line}: too long to be a row, not looked at")
    if current().json:
        write_json(_fields(file, report, skipped, show))
    else:
        _tell(file, report, show)
    return 0


def _rule(rule: PrivacyRule) -> PrivacyRule:
    """The profile's rule; all kinds where it names none."""
    return rule if rule.redact else replace(rule, redact=PRIVACY_KINDS)


def _rows(source: Source, skipped: list[int]) -> Iterator[tuple[int, Any]]:
    """Each row's line and its value: JSON where it is JSON, else its text."""
    from llmctl.batch.strict import Wrong, loads

    for raw in source.raw_rows():
        if raw.too_long:
            skipped.append(raw.line)
            continue
        value: Any = raw.data.decode("utf-8", "replace")
        if not raw.text:
            with suppress(Wrong):  # what is no JSON is read as it stands
                value = loads(raw.data)
        yield raw.line, value


def _fields(file: str, report: ScanReport, skipped: list[int], show: bool) -> dict[str, Any]:
    fields = {
        "file": file,
        "rows": report.rows,
        "hits": report.hits,
        "counts": dict(sorted(report.counts.items())),
        "skipped": skipped,
    }
    if show:
        fields["found"] = [
            {"line": each.line, "kind": span.kind, "value": span.value}
            for each in report.found
            for span in each.spans
        ]
    return fields


def _tell(file: str, report: ScanReport, show: bool) -> None:
    out = sys.stdout
    if show:
        for each in report.found:
            for span in each.spans:
                out.write(f"{each.line}: {span.kind}: {_printable(span.value)}\n")
        if report.hits > len(report.found):
            out.write(f"… and {report.hits - len(report.found):,} more rows\n")
    rows = f"{report.rows:,} row{'s' if report.rows != 1 else ''}"
    out.write(f"{file}: {rows}, {report.hits:,} with something to hide\n")
    width = max(map(len, report.counts), default=0)
    for kind, count in sorted(report.counts.items(), key=lambda item: (-item[1], item[0])):
        out.write(f"  {kind:<{width}}  {count:,}\n")


def _printable(value: str) -> str:
    """On one line, without control codes for the terminal."""
    return value if value.isprintable() else value.encode("unicode_escape").decode("ascii")
