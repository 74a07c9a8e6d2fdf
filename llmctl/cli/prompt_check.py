"""llmctl prompt check: what is wrong with a prompt, a template, or the rows of a batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmctl.ask import Ask, compose
from llmctl.cli.inputs import prompt_text
from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.cli.shared import Wording, ask_of
from llmctl.core.errors import CheckFailed, LlmctlError, UsageError
from llmctl.core.model import Request
from llmctl.formats.envelope import write_json
from llmctl.formats.report import Cell, Column, Table, look, render
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.batch.lines import RawRow
    from llmctl.prompts.check import CheckReport, Finding
    from llmctl.prompts.render import Renderer

SAMPLE = 100
STAND_INS: dict[str, Any] = {
    "string": "…",
    "number": 1,
    "integer": 1,
    "boolean": True,
    "json": {},
    "list": ["…"],
}
"""What stands for a variable that is not given, so that the rest can be judged."""


def check(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The prompt; piped text comes before it. `-`: stdin alone, `@FILE`: a file."),
    ] = None,
    *,
    asking: Wording,
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE", help="Check the rows of a batch instead.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Of --rows: so many, drawn evenly at random.")
    ] = SAMPLE,
    all_rows: Annotated[bool, typer.Option("--all", help="Of --rows: every one.")] = False,
) -> int:
    """What is wrong with a prompt before anybody pays for it; exit 8 where there are errors."""
    opened = services()
    if rows is not None:
        if prompt:
            raise UsageError("--rows takes the prompts from a file", hint="leave the prompt out")
        return _tell_survey(surveyed(opened, ask_of(opened, asking), rows, None if all_rows else sample))
    report, missing = examined(opened, ask_of(opened, asking, prompt_text(prompt)))
    return _tell(report, missing)


def examined(opened: Services, ask: Ask) -> tuple[CheckReport, list[str]]:
    """The report, and the variables that stand-ins were put in for."""
    renderer = ask.recipe.renderer
    if renderer is None:
        return judged(opened, compose(opened, ask)), []
    from llmctl.prompts.check import CheckReport, Finding, check_variables
    from llmctl.prompts.model import TemplateError

    given = dict(ask.recipe.values)
    name = renderer.prompt_variable(given) if ask.prompt.strip() else None
    if name is not None:
        given[name] = ask.prompt
    found = check_variables(renderer.template, renderer.names, given or None)
    missing = stand_ins(renderer, given)
    filled = replace(
        ask,
        prompt="" if name else ask.prompt,
        recipe=replace(ask.recipe, values={**missing, **given}),
    )
    try:
        report = judged(opened, compose(opened, filled))
    except TemplateError as error:
        report = CheckReport((Finding("error", "undefined", error.message),))
    return merged(opened, ask, report, found), sorted(missing)


def stand_ins(renderer: Renderer, given: dict[str, Any]) -> dict[str, Any]:
    """A value for each variable that has none."""
    from llmctl.prompts.model import Missing

    known = renderer.template.variables
    found: dict[str, Any] = {}
    for name in (renderer.names | set(known)) - set(given):
        variable = known.get(name)
        if variable is None:
            found[name] = STAND_INS["string"]
        elif variable.required and variable.default is Missing:
            found[name] = variable.values[0] if variable.values else STAND_INS[variable.type]
    return found


def judged(opened: Services, request: Request) -> CheckReport:
    """All findings; those that profile or template forbid are errors."""
    from llmctl.stages.precheck import examined as examine

    report = examine(request, opened.facts, opened.profile.privacy)
    return raised(opened, request.renderer, report)


def raised(opened: Services, renderer: Renderer | None, report: CheckReport) -> CheckReport:
    from llmctl.prompts.check import ordered
    from llmctl.stages.precheck import codes, forbidden

    strict = set(forbidden(report, codes(renderer, opened.profile.checks)))
    found = [replace(f, severity="error") if f in strict else f for f in report.findings]
    return replace(report, findings=ordered(found))


def merged(opened: Services, ask: Ask, report: CheckReport, more: list[Finding]) -> CheckReport:
    from llmctl.prompts.check import ordered

    both = replace(report, findings=ordered([*report.findings, *more]))
    return raised(opened, ask.recipe.renderer, both)


def _tell(report: CheckReport, missing: list[str]) -> int:
    if current().json:
        findings = [
            {"severity": f.severity, "code": f.code, "message": f.message, "place": f.place or None}
            for f in report.findings
        ]
        tokens = {"tokens": report.tokens, "context": report.context, "stand_ins": missing}
        write_json({"findings": findings, **counts(report.findings), **tokens})
        return report.exit_code
    rows: list[list[Cell]] = [[f.severity, f.code, f.message, f.place] for f in report.findings]
    window = f" of {report.context:,}" if report.context else ""
    note = f"{summary(report.findings)}; {report.tokens:,} tokens{window}"
    if missing:
        note += f"; not given, so a stand-in was taken: {', '.join(missing)}"
    _table(("severity", "code", "message", "where"), rows, note)
    return report.exit_code


def _table(names: tuple[str, ...], rows: list[list[Cell]], note: str) -> None:
    if not rows:
        sys.stdout.write(note + "\n")
        return
    columns = tuple(Column(name, "right" if name == "rows" else "left") for name in names)
    render(Table("", columns, rows, note=note), "table", sys.stdout, look(sys.stdout, os.environ))


def counts(findings: Any) -> dict[str, int]:
    """How many of each severity."""
    kinds = (("error", "errors"), ("warning", "warnings"), ("info", "infos"))
    return {name: sum(f.severity == kind for f in findings) for kind, name in kinds}


def summary(findings: Any) -> str:
    found = counts(findings)
    told = [f"{n} {name if n != 1 else name[:-1]}" for name, n in found.items() if n and name != "infos"]
    return ", ".join(told) or "no errors"


@dataclass(slots=True)
class Kind:
    """One kind of finding among rows: how many rows have it, and the first of them."""

    first: Finding
    row: int
    rows: int = 0


@dataclass(slots=True)
class Survey:
    """What the rows of a file come to; `tokens` of each row that could be made a prompt."""

    rows: int = 0
    checked: int = 0
    kinds: dict[tuple[str, str], Kind] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)

    def add(self, row: int, findings: tuple[Finding, ...]) -> None:
        self.checked += 1
        for key, finding in {(f.severity, f.code): f for f in reversed(findings)}.items():
            kind = self.kinds.setdefault(key, Kind(finding, row))
            kind.rows += 1

    @property
    def findings(self) -> list[Finding]:
        return [kind.first for kind in self.kinds.values()]


def surveyed(opened: Services, ask: Ask, path: Path, sample: int | None) -> Survey:
    """Checks the rows of a batch file, `sample` of them or all; nothing is sent."""
    from llmctl.batch.job import Composer
    from llmctl.batch.rows import parse
    from llmctl.batch.source import Source
    from llmctl.prompts.check import Finding

    composer = Composer(opened, ask)
    found = Survey()
    with Source(None if str(path) == "-" else str(path)) as source:
        for raw in drawn(source.raw_rows(), sample, found):
            row = parse(raw, ask.recipe.renderer is not None)
            try:
                if row.error is not None:
                    raise row.error
                report = judged(opened, composer.request(row))
            except LlmctlError as error:
                found.add(raw.number, (Finding("error", "row", error.message),))
                continue
            found.tokens.append(report.tokens)
            found.add(raw.number, report.findings)
    return found


def drawn(rows: Iterator[RawRow], sample: int | None, survey: Survey) -> Iterator[RawRow]:
    """All rows, or a sample by Vitter's algorithm R (1985), the same one every time, in input order."""
    if sample is None:
        for row in rows:
            survey.rows += 1
            yield row
        return
    random = Random(0)  # noqa: S311  # no secret
    kept: list[RawRow] = []
    for row in rows:
        survey.rows += 1
        if len(kept) < sample:
            kept.append(row)
        elif (place := random.randrange(survey.rows)) < sample:
            kept[place] = row
    yield from sorted(kept, key=lambda row: row.number)


def _tell_survey(survey: Survey) -> int:
    ranks = {"error": 0, "warning": 1, "info": 2}
    kinds = sorted(survey.kinds.values(), key=lambda kind: (ranks[kind.first.severity], -kind.rows))
    tokens = sorted(survey.tokens) or [0]
    least, median, most = tokens[0], tokens[len(tokens) // 2], tokens[-1]
    exit_code = CheckFailed.exit_code if any(k.first.severity == "error" for k in kinds) else 0
    if current().json:
        findings = [
            {
                "severity": kind.first.severity,
                "code": kind.first.code,
                "rows": kind.rows,
                "first_row": kind.row,
                "message": kind.first.message,
                "place": kind.first.place or None,
            }
            for kind in kinds
        ]
        sizes = {"least": least, "median": median, "most": most}
        write_json(
            {
                "rows": survey.rows,
                "checked": survey.checked,
                "findings": findings,
                **counts(survey.findings),
                "tokens": sizes,
            }
        )
        return exit_code
    rows: list[list[Cell]] = [
        [kind.first.severity, kind.first.code, kind.rows, f"row {kind.row}: {kind.first.message}"]
        for kind in kinds
    ]
    note = (
        f"{survey.checked:,} of {survey.rows:,} rows checked: {summary(survey.findings)};"
        f" {least:,} to {most:,} tokens each, half of them at most {median:,}"
    )
    _table(("severity", "code", "rows", "the first"), rows, note)
    return exit_code
