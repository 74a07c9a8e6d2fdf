"""The global options, understood before and after the command, each also from LLMCTL_<NAME>."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from typer.core import TyperOption


@dataclass
class Globals:
    """What the global options say; one object a command line."""

    profile: str | None = None
    home: str | None = None
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    json: bool = False

    @property
    def home_path(self) -> Path | None:
        from llmctl.core.files import expanded

        return expanded(self.home) if self.home else None


DECLARATIONS: dict[str, tuple[list[str], str, bool]] = {
    "profile": (["-p", "--profile"], "Profile: a name, or the path of a file.", False),
    "home": (["--home"], "Folder of state, cache and ledger.", False),
    "quiet": (["-q", "--quiet"], "Errors only on stderr.", True),
    "verbose": (["-v", "--verbose"], "Say more on stderr.", True),
    "debug": (["--debug"], "Show tracebacks.", True),
    "json": (["--json"], "Machine output: one JSON object on stdout.", True),
}


_CURRENT = Globals()


def current() -> Globals:
    """The global options of the command that is running."""
    return _CURRENT


def reset() -> None:
    """Forgets the last command line; one process may run several, one after the other."""
    _CURRENT.__init__()  # type: ignore[misc]  # back to the defaults, for whoever holds it


def _remember(context: Any, parameter: Any, value: Any) -> None:
    source = context.get_parameter_source(parameter.name)
    if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT"):
        setattr(_CURRENT, parameter.name, value)


def _show_version(context: Any, parameter: Any, value: bool) -> None:
    if value:
        from llmctl import __version__

        sys.stdout.write(f"llmctl {__version__}\n")
        context.exit()


def add_globals(command: Any, *, environment: bool = False) -> None:
    """Appends the global options to a command and all below it. Own options read LLMCTL_<NAME> too."""
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.envvar is None:
            parameter.envvar = variable(parameter)
    for name, (declared, text, is_flag) in DECLARATIONS.items():
        command.params.append(
            TyperOption(
                param_decls=[name, *declared],
                help=text,
                is_flag=is_flag,
                default=False if is_flag else None,
                expose_value=False,
                callback=_remember,
                envvar=f"LLMCTL_{name.upper()}" if environment else None,
                is_eager=True,
                rich_help_panel="Global options",
            )
        )
    if environment:
        command.params.append(
            TyperOption(
                param_decls=["version", "--version"],
                help="Show the version.",
                is_flag=True,
                default=False,
                expose_value=False,
                callback=_show_version,
                is_eager=True,
            )
        )
    for child in getattr(command, "commands", {}).values():
        add_globals(child)


def variable(parameter: Any) -> str | None:
    """LLMCTL_<NAME> of an option's longest name; none for help and completion."""
    longest: str = max((name.lstrip("-") for name in parameter.opts), key=len)
    if longest in ("help", "install-completion", "show-completion") or len(longest) < 2:
        return None
    return "LLMCTL_" + longest.replace("-", "_").upper()


assert [field.name for field in fields(Globals)] == list(DECLARATIONS)
