"""llmctl purge: what was kept of people's texts is gone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services, warn
from llmctl.core.errors import StorageError, UsageError

app = typer.Typer(rich_markup_mode=None, add_completion=False)

# Names of their own in the environment: LLMCTL_TAG says how calls are labelled, not what is to be forgotten.


@app.command()
def purge(
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            envvar="LLMCTL_PURGE_BEFORE",
            help="What is older: 30d, 24h, 2026-11, 2026-11-22, or ISO 8601.",
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option("--tag", envvar="LLMCTL_PURGE_TAG", help="What was asked with this tag."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", envvar="LLMCTL_PURGE_ALL", help="Everything.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", envvar="LLMCTL_PURGE_YES", help="Do not ask back on a terminal.")
    ] = False,
) -> int:
    """Forget stored answers, the ledger's hashes and tags, journals of batches, and the log.

    Times, tokens and money stay in the ledger, so that reports and budgets are as right as before.
    """
    if (before is not None) + (tag is not None) + everything != 1:
        raise UsageError("say what is to go", hint="one of --before WHEN, --tag NAME and --all")
    from llmctl.formats.envelope import write_json
    from llmctl.purge import purge as forget
    from llmctl.usage.times import moment

    opened = services()
    then = None if before is None else moment(before, opened.clock.now(), None)
    asked = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if asked and not typer.confirm(f"Forget this for ever, in {opened.home}?", err=True):
        sys.stderr.write("llmctl: nothing was forgotten\n")
        return 130
    done = forget(opened, before=then, tag=tag)
    if current().json:
        write_json(done.envelope())
    else:
        sys.stdout.write(
            f"answers   {done.answers:,} removed from the cache\n"
            f"ledger    {done.calls:,} calls without hashes{'' if before else ' and tags'} now\n"
            f"journals  {len(done.journals):,} removed\n"
            f"log       {done.log_lines:,} lines removed\n"
        )
    if not current().quiet:
        for out in done.kept:
            warn(f"{out} is yours and still holds answers: remove it yourself")
    if done.busy:
        others = f" (and {len(done.busy) - 1:,} more are written)" if done.busy[1:] else ""
        raise StorageError(
            f"{done.busy[0]}: a batch is writing it{others}", hint="purge again when it has ended"
        )
    return 0
