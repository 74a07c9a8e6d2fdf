"""llmctl merge: the outputs of a batch's shards made one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmctl.cli.options import current
from llmctl.core.errors import StorageError, UsageError

if TYPE_CHECKING:
    from llmctl.batch.merge import Merged

app = typer.Typer(rich_markup_mode=None, add_completion=False)
SHOWN = 5


@app.command()
def merge(
    outputs: Annotated[
        list[Path], typer.Argument(metavar="OUT.1 OUT.2 …", help="What `batch --shard` wrote, in any order.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", envvar="LLMCTL_MERGE_OUT", help="The whole; default, or `-`: stdout."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", envvar="LLMCTL_MERGE_FORCE", help="Replace the file that -o names.")
    ] = False,
) -> int:
    """Put the outputs of shards together, every row once and in order; exit 9 where rows are missing."""
    from llmctl.batch.merge import merge as put_together

    options = current()
    out = None if out == Path("-") else out
    if options.json and out is None:
        raise UsageError("--json puts the summary on stdout", hint="name the output with -o")
    if out is not None and out.exists() and (not force or not out.is_file()):
        raise StorageError(f"{out}: exists already", hint="choose another -o, or replace a file with --force")
    found = put_together(outputs, out, sys.stdout.buffer)
    if options.json:
        from llmctl.formats.envelope import write_json

        counts = {"rows": found.rows, "failed": found.failed, "pending": found.pending}
        write_json({**counts, "missing": found.absent, "gaps": found.missing, "out": str(out)})
    elif not options.quiet:
        tell(found)
    return 9 if found.missing else 0


def tell(found: Merged) -> None:
    """What is there and what is not, a line each."""
    parts = [f"{found.rows:,} rows"]
    if found.failed:
        parts.append(f"{found.failed:,} of them failed")
    if found.pending:
        parts.append(f"{found.pending:,} were not sent yet (run their shard again)")
    sys.stderr.write(f"llmctl: {', '.join(parts)}\n")
    if found.missing:
        gaps = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found.missing[:SHOWN])
        more = ", …" if len(found.missing) > SHOWN else ""
        sys.stderr.write(
            f"llmctl: {found.absent:,} rows are missing: {gaps}{more} (is a shard's output left out?)\n"
        )
