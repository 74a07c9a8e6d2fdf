"""The `llmctl` command: its subcommands by name, each imported only when it is run."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command as command_of

from llmctl.cli import failure, later, options

COMMANDS = {
    "run": "Ask a model one thing.",
    "batch": "Ask every row of a file once.",
    "merge": "Outputs of a batch's shards made one.",
    "estimate": "What a run or a batch would cost.",
    "usage": "What was asked, and what it cost.",
    "budget": "Budgets: limits, spent, reserved, left.",
    "top": "What goes on, live: calls, money, errors, batches, budgets, alerts.",
    "prompt": "Templates and prompts: list, show, render, check, optimize.",
    "profile": "Profiles: list, show, check, path.",
    "cache": "The cache of answers: stats, explain, prune, clear.",
    "models": "Models and prices: list, show, pick, update, pull.",
    "dashboard": "The page: figures, budgets, batches, live; metrics for programs.",
    "keys": "Keys: status, check, set.",
    "alerts": "Alerts: rules and how they stand; exit 10 where one is broken.",
    "breaker": "Breakers: which models count as down, and closing them.",
    "privacy": "What redaction would find in a file: scan.",
    "purge": "Forget stored answers, hashes, tags, journals and the log.",
    "init": "Write a starter llmctl.yaml and profiles/.",
    "doctor": "What works here.",
}
"""Name and one line of help; the module of the same name in `llmctl.cli` holds `app`."""


class Commands(TyperGroup):
    """A group that knows its commands' names, and imports a command when it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"llmctl.cli.{cmd_name}")
        command = command_of(module.app)
        command.name = cmd_name
        options.add_globals(command)
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of `--help`, out of the table: no command is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        from llmctl.config.schema import suggest
        from llmctl.core.errors import UsageError

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(f"there is no command {args[0]!r}", hint=suggest(args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="llmctl",
    cls=Commands,
    help="LLM work from the shell: never pays twice, never goes over budget, never leaks a secret.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root() -> None:
    """Global options stand before or after the command."""


def group() -> Any:
    """The whole command, ready to be called."""
    options.reset()
    command = command_of(app)
    options.add_globals(command, environment=True)
    return command


def run(args: list[str]) -> int:
    """Runs one command line and returns its exit code; every failure is told once, in one line."""
    later.reset()
    code = failure.guarded(lambda: _main(args), args)
    if code < 128:  # who interrupts wants to leave
        failure.guarded(later.finish, args)
    return code


def _main(args: list[str]) -> Any:
    settings = [value for name, value in os.environ.items() if name.startswith("LLMCTL_")]
    for text in (*args, *settings):
        if not text.isascii():
            _refuse_bytes(text)
    return group().main(args, prog_name="llmctl", standalone_mode=False)


def _refuse_bytes(text: str) -> None:
    """UsageError for what is no UTF-8: no provider, ledger, log or journal takes it, as text or as a name."""
    from llmctl.core.errors import UsageError

    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="replace").decode()[:60]
        raise UsageError(f"{shown!r}: not UTF-8", hint="convert it; a file has to be renamed") from None
