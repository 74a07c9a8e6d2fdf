"""Options that several commands share are declared once."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from llmctl.cli.app import COMMANDS, group
from llmctl.cli.shared import Asking, Wording, options_of, spread

from ..conftest import Run


def test_a_command_gets_the_options_in_place_of_its_parameter() -> None:
    """What `run` understands, `batch`, `estimate` and `prompt` understand alike."""
    app = typer.Typer()
    seen: list[Asking] = []

    @app.command()
    @spread
    def ask(prompt: str, *, asking: Asking, extra: Annotated[bool, typer.Option("--extra")] = False) -> int:
        """Says something."""
        seen.append(asking)
        return 0

    names = list(inspect.signature(ask).parameters)
    assert (names[0], names[1], names[-1]) == ("prompt", "model", "extra")
    args = ["hi", "-m", "x", "-O", "a=1", "-O", "b=2", "--cot", "--tag", "t", "--extra"]
    assert CliRunner().invoke(app, args).exit_code == 0
    asking = seen[0]
    assert (asking.model, asking.option, asking.cot, asking.tag) == ("x", ["a=1", "b=2"], True, "t")
    assert (asking.template, asking.no_cache) == (None, False)


def test_a_class_has_the_options_of_its_base_first() -> None:
    """`prompt` sends nothing, so it has no option for what becomes of an answer."""
    assert list(options_of(Asking))[: len(options_of(Wording))] == list(options_of(Wording))
    assert set(options_of(Asking)) - set(options_of(Wording)) == {"no_cache", "refresh", "tag"}


@pytest.mark.parametrize("command", [("run",), ("batch",), ("prompt", "render"), ("prompt", "check")])
def test_the_options_of_the_contract_are_there(llmctl: Run, command: tuple[str, ...]) -> None:
    """Scripts are written against the names."""
    said = llmctl(*command, "--help").stdout
    for option in ("-m,", "-s,", "-t,", "-V,", "-O,", "-f,", "--file", "--examples ", "--cot", "--schema"):
        assert option in said, option


def test_a_variable_means_one_thing() -> None:
    """What a job sets for one command may not turn another into something else: `--force`, say."""
    meant: dict[str, dict[str, str]] = {}

    def look(command: Any, name: str) -> None:
        for option in command.params:
            if option.param_type_name == "option" and isinstance(option.envvar, str):
                meant.setdefault(option.envvar, {})[name] = option.help or ""
        for child, inner in getattr(command, "commands", {}).items():
            look(inner, f"{name} {child}")

    whole = group()
    for name in COMMANDS:
        look(whole.get_command(None, name), name)
    twice = {variable: found for variable, found in meant.items() if len(set(found.values())) > 1}
    assert {name for name, found in twice.items() if set(found) != {"batch", "estimate"}} == {
        "LLMCTL_MAX_COST",  # of a run and of an estimate
        "LLMCTL_TEMPLATE",
    }
