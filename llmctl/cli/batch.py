"""llmctl batch: a file of prompts, each asked once."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from llmctl.ask import is_auto
from llmctl.cli import later
from llmctl.cli.failure import one_line
from llmctl.cli.inputs import usd
from llmctl.cli.options import Globals, current
from llmctl.cli.session import services
from llmctl.cli.shared import Asking, ask_of, optimized, searched, shortened, spread
from llmctl.core.errors import Interrupted, LlmctlError, UsageError

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@spread
def batch(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A file of prompts: JSONL, CSV, TSV, text; `-` is stdin.")
    ],
    *,
    asking: Asking,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where answers go; default, or `-`: stdout.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, max=100_000, help="Requests in flight.")
    ] = None,
    rpm: Annotated[
        float | None, typer.Option("--rpm", min=0.01, max=1e9, help="Requests a minute, over the profile's.")
    ] = None,
    tpm: Annotated[
        float | None, typer.Option("--tpm", min=1, max=1e12, help="Tokens a minute, over the profile's.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, max=2**53, help="The first N rows only.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart/--resume", help="Forget what is finished and start anew.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask failed rows again.")] = False,
    order: Annotated[
        str, typer.Option("--order", help="Rows as in the input, or as they are done: input|done.")
    ] = "input",
    format: Annotated[str | None, typer.Option("--format", help="Form of the output: llmctl|openai.")] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Every N-th row from the I-th on.")
    ] = None,
    max_cost: Annotated[
        str | None,
        typer.Option("--max-cost", metavar="USD", help="The most it may cost; exit 6 rather than more."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="Processes that ask; one is enough for most.")
    ] = 1,
    crew: Annotated[int | None, typer.Option("--crew", min=3, max=2**31 - 1, hidden=True)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="What it would cost, as `estimate` says it; nothing is sent.")
    ] = False,
) -> int:
    """Ask every row of a file once; the same command goes on where it was stopped."""
    from llmctl.batch.command import Batch
    from llmctl.batch.crew import Crew
    from llmctl.batch.job import Job
    from llmctl.batch.source import Source
    from llmctl.core.loop import run as run_core
    from llmctl.resilience.window import START

    options = current()
    out = None if out == Path("-") else out
    if options.json and out is None and not dry_run and crew is None:
        raise UsageError("--json puts the summary on stdout", hint="name the output with -o")
    opened = services(group=True)
    opened.concurrency, opened.rpm, opened.tpm = concurrency, positive("--rpm", rpm), positive("--tpm", tpm)
    opened.max_cost = None if max_cost is None else usd(max_cost, "--max-cost")
    job = Job(
        ask=ask_of(opened, asking),
        out=out,
        concurrency=opened.paces.limits.concurrency or START,
        limit=limit,
        shard=shard_of(shard),
        restart=restart,
        retry_failed=retry_failed,
        order=one_of("--order", order, "input", "done"),  # type: ignore[arg-type]  # checked against the two
        format=one_of("--format", format, "llmctl", "openai") if format else None,  # type: ignore[arg-type]  # likewise
    )
    if dry_run:
        from llmctl.cli.estimate import of_batch

        return of_batch(opened, job, source)
    if crew is not None:
        from llmctl.batch.hand import Hand

        return run_core(Hand(opened, job, crew, note_bug).run())
    apart = job.out is not None or not sys.stdout.isatty()  # answers and a line that is drawn anew do not mix
    live = sys.stderr.isatty() and apart and not options.json and not (os.environ.get("CI") or dumb())
    crowd = Crew(workers, sys.argv[1:], opened.warn) if workers > 1 else None
    read = Source(None if source == "-" else source)
    batched = Batch(opened, job, read, quiet=options.quiet, live=live, crew=crowd)
    later.add(opened.finish)
    outcome = run_core(batched.run())
    outcome.summary.update(searched(job.ask.recipe))
    if (shortener := job.ask.recipe.shortener) is not None and shortener.prompts:
        name = None if is_auto(opened, job.ask.model) else job.ask.model
        model = opened.targets.choose(name).target.model
        outcome.summary.update(optimized(opened, shortener, model))
        if not options.quiet and not options.json:
            sys.stderr.write(f"llmctl: {shortened(shortener)}\n")
    return told(outcome, job, options)


def dumb() -> bool:
    """Whether the terminal cannot draw a line anew."""
    return os.environ.get("TERM", "dumb") in ("dumb", "unknown")


def told(outcome: object, job: object, options: Globals) -> int:
    """The summary on stderr (or, with --json, on stdout), then why it stopped, if it did."""
    from llmctl.batch.command import Outcome
    from llmctl.batch.job import Job
    from llmctl.batch.progress import say, table
    from llmctl.formats.envelope import write_json

    assert isinstance(outcome, Outcome)
    assert isinstance(job, Job)
    failed_out = job.failed_out if job.failed_out and job.failed_out.is_file() else None
    if options.json:
        files = {"out": str(job.out), "failed_out": str(failed_out) if failed_out else None}
        halted = outcome.halted.envelope() if outcome.halted else None
        write_json({**outcome.summary, **files, "stopped": halted})
    if outcome.damaged and not options.quiet:
        say(f"{outcome.damaged:,} lines of the journal were damaged: their rows were sent again")
    if outcome.bug:
        note_bug(outcome.bug)
    if not options.quiet and not options.json:
        if outcome.already:
            say(f"all {outcome.summary['rows']:,} rows were finished before; nothing was sent")
        elif outcome.tally.rows == 0:
            say("zero rows: nothing to do")
        else:
            sys.stderr.write(table(outcome.tally) + "\n")
        if changed := outcome.tally.changed:
            say(f"{changed:,} rows changed since the last run and were sent again")
        if failed_out:
            say(f"the rows that failed are in {failed_out}, ready to be run again; or use --retry-failed")
    if outcome.halted:
        say(stopped(outcome.halted, job.out is not None))
    return outcome.exit_code


def note_bug(bug: Exception) -> None:
    """Rows failed by our own fault: the log says where."""
    from llmctl.batch.progress import say
    from llmctl.cli.crash import write_log

    log = write_log(bug, sys.argv[1:])
    say(
        f"rows met a bug in llmctl: {type(bug).__name__}"
        + (f" (the log is {log}; please report it)" if log else "")
    )


def stopped(why: LlmctlError, resumable: bool) -> str:
    """Why the batch stopped and how it goes on."""
    hint = f" ({why.hint})" if why.hint and not isinstance(why, Interrupted) else ""
    reason = one_line(why.message + hint)
    if not resumable:
        return f"stopped: {reason}"
    command = " ".join(shlex.quote(arg) for arg in sys.argv[1:] if arg != "--restart")
    return f"stopped: {reason}; to go on: llmctl {command}"


def shard_of(text: str | None) -> tuple[int, int] | None:
    """`2/8`: the second of eight."""
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (text.isascii() and index.isdigit() and count.isdigit()) or not 1 <= int(index) <= int(count):
        raise UsageError(f"--shard {text}: not I/N with I from 1 to N", hint="for example --shard 1/4")
    return int(index), int(count)


def positive(option: str, value: float | None) -> float | None:
    """The value; UsageError for NaN, which passes every bound."""
    if value is not None and value != value:
        raise UsageError(f"{option}: not a number")
    return value


def one_of(option: str, value: str, *known: str) -> str:
    if value not in known:
        raise UsageError(f"{option} {value}: not one of {', '.join(known)}")
    return value
