"""llmctl budget: how the profile's budgets stand."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from llmctl.cli.inputs import usd
from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.core.errors import BudgetError
from llmctl.core.money import show_usd
from llmctl.services import Services
from llmctl.usage.budgets import Budget, Status, statuses, too_much

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def budget(
    check: Annotated[
        str | None,
        typer.Option("--check", metavar="USD", help="Exit 6 where that much would not fit any more."),
    ] = None,
) -> int:
    """Limits, what is spent, reserved and left of them, and when they reset."""
    asked = 0 if check is None else usd(check, "--check")
    opened = services()
    found = status(opened)
    over = too_much(asked, found)
    names = ", ".join(each.name for each in over)
    refused = BudgetError(f"{show_usd(asked)} would not fit into: {names}") if over else None
    if current().json:
        from llmctl.formats.envelope import write_json

        error = {"error": refused.envelope()} if refused else {}
        write_json({"budgets": [each.envelope() for each in found], **error})
        return refused.exit_code if refused else 0
    _show(opened, found)
    if refused:
        raise refused
    return 0


def status(opened: Services) -> list[Status]:
    """The state is not opened where there is nothing to look up."""
    budgets = [Budget(rule) for rule in opened.profile.budgets]
    if not budgets:
        return []
    try:
        return statuses(budgets, opened.state, opened.clock.now())
    finally:
        opened.state.close()


def _show(opened: Services, found: Sequence[Status]) -> None:
    if not found:
        sys.stdout.write(f"profile {opened.resolved.name}: no budgets\n")
        return
    from llmctl.formats.budget import table
    from llmctl.formats.report import look, render

    render(table(found), "table", sys.stdout, look(sys.stdout, os.environ))
