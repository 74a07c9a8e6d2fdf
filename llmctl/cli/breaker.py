"""llmctl breaker: which models count as down, and the way to say that they are not."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.core.errors import LlmctlError, UsageError
from llmctl.formats.envelope import write_json
from llmctl.health import breaker
from llmctl.resilience.circuit import Seen
from llmctl.services import Services

app = typer.Typer(help="Breakers: which models count as down.", rich_markup_mode=None, no_args_is_help=True)


@app.command()
def status() -> int:
    """Every breaker with failures to tell of: its state, and when the next try is due."""
    found = services().circuits.seen()
    if current().json:
        write_json({"breakers": [breaker(each) for each in found]})
    elif not found:
        sys.stdout.write("all closed\n")
    for each in found if not current().json else ():
        sys.stdout.write(f"{each.state:<9}  {each.name:<40}  {told(each)}\n")
    return 0


@app.command()
def reset(
    name: Annotated[
        str | None, typer.Argument(help="A breaker, or how its name begins, as a model. Default: all.")
    ] = None,
) -> int:
    """Close breakers by hand: the next call goes out."""
    circuits = services().circuits
    known = circuits.seen()
    found = [each.name for each in known if name is None or each.name.startswith(name)]
    if name is not None and not found:
        raise UsageError(f"there is no breaker {name!r} to close", hint="see llmctl breaker status")
    for each in found:
        circuits.reset(each)
    if current().json:
        write_json({"closed": found})
    else:
        sys.stdout.write("".join(f"closed     {each}\n" for each in found) or "all closed\n")
    return 0


def held_back(opened: Services) -> list[dict[str, Any]]:
    """The breakers that hold requests back now, as JSON has them; without --json they are warned of.

    None is told of where there is no state yet, or state or profile are not well: who needs them says so.
    """
    try:
        if opened.profile.state is None and not (opened.home / "state.db").exists():
            return []
        found = [each for each in opened.circuits.seen() if each.state != "closed"]
    except LlmctlError:
        return []
    for each in found if not current().json else ():
        opened.warn(f"the breaker of {each.name} is {each.state}: {told(each)}")
    return [breaker(each) for each in found]


def told(seen: Seen) -> str:
    """In words for people."""
    count = f"{seen.failures:,} failure{'s' if seen.failures != 1 else ''} in a row"
    if seen.state == "closed":
        return count
    return f"{count}, the next try is due {f'in {seen.due:.0f} s' if seen.due else 'now'}"
