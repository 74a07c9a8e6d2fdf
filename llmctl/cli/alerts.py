"""llmctl alerts: the profile's rules, how they stand, and telling of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from llmctl.cli.options import current
from llmctl.cli.session import services, warn
from llmctl.core.errors import AlertRaised, ConfigError
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.usage.episodes import Episode
    from llmctl.watch import Alerts

app = typer.Typer(
    help="Alerts: list, check, test.", rich_markup_mode=None, no_args_is_help=True, add_completion=False
)


@app.command("list")
def list_() -> int:
    """Every rule with its value now, how it stands and since when; nothing is changed or sent."""
    opened = services()
    rules = _rules(opened)
    try:
        _show(opened, rules.look() if rules else [])
    finally:
        opened.state.close()
    return 0


@app.command()
def check() -> int:
    """As list, and tell those in `notify` of what has changed; exit 10 where a rule is broken."""
    opened = services()
    rules = _rules(opened)
    if rules is None:
        _show(opened, [])
        return 0
    try:
        found = rules.check()
        problems = rules.tell(found)
    finally:
        opened.state.close()
    firing = [each for each in found if each.standing == "firing"]
    raised = _raised(firing) if firing else None
    _show(opened, found, raised, problems)
    if current().json:
        return raised.exit_code if raised else 0
    if not current().quiet:
        for problem in problems:
            warn(problem)
    if raised:
        raise raised
    return 0


@app.command()
def test() -> int:
    """Send a test message to everything in `notify`; exit 3 where one was not taken."""
    opened = services()
    if not opened.profile.notify:
        raise ConfigError(
            f"profile {opened.resolved.name}: nobody is told of alerts",
            hint="add `notify: [env:SLACK_WEBHOOK]`",
        )
    from llmctl.watch import Alerts

    sent = Alerts(opened).test()
    failed = [f"{to}: {why}" for to, why in sent if why is not None]
    if current().json:
        from llmctl.formats.envelope import write_json

        write_json({"sent": [{"to": to, "ok": why is None, "problem": why} for to, why in sent]})
        return ConfigError.exit_code if failed else 0
    for to, why in sent:
        if why is None:
            sys.stdout.write(f"told {to}\n")
    if failed:
        raise ConfigError("; ".join(failed), hint="check the address")
    return 0


def _rules(opened: Services) -> Alerts | None:
    """None where the profile has no rules: then nothing is opened."""
    if not opened.profile.alerts:
        return None
    from llmctl.watch import Alerts

    return Alerts(opened)


def _raised(firing: Sequence[Episode]) -> AlertRaised:
    from llmctl.watch import sentence

    count = "1 alert rule is" if len(firing) == 1 else f"{len(firing)} alert rules are"
    return AlertRaised(f"{count} broken: {'; '.join(map(sentence, firing))}")


def _show(
    opened: Services,
    found: Sequence[Episode],
    raised: AlertRaised | None = None,
    problems: Sequence[str] = (),
) -> None:
    if current().json:
        from llmctl.formats.envelope import write_json
        from llmctl.watch import envelope

        error = {"error": raised.envelope()} if raised else {}
        write_json({"alerts": [envelope(each) for each in found], "problems": list(problems), **error})
        return
    if not found:
        sys.stdout.write(f"profile {opened.resolved.name}: no alerts\n")
        return
    from llmctl.formats.alerts import table
    from llmctl.formats.report import look, render

    render(table(found), "table", sys.stdout, look(sys.stdout, os.environ))
