"""Writes the generated parts of the documentation; with `--check` says whether they are stale."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # as a script it would see docs/ alone

from bench import figures
from llmctl import pipeline
from llmctl.cli.app import COMMANDS, group
from llmctl.core import errors, profile
from llmctl.core.fields import Rule
from llmctl.core.profile import DEFAULT_PARAMS, Profile
from llmctl.providers.catalog import markdown as providers
from llmctl.services import Services

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
ASKED_AS = {"fits": r"(?:rule|model)\.fits"}
"""Keys whose name is also another's: how the code asks for them."""
KINDS = {
    "texts": "list of texts",
    "values": "map",
    "flag": "true or false",
    "money": "USD",
    "duration": "time",
    "amount": "number or time",
}


def main(args: list[str]) -> int:
    """0, or 1 where `--check` finds a stale page."""
    stale = [path for path, text in pages() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in args:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run python docs/build.py\n")
        else:
            path.write_text(next(text for each, text in pages() if each == path), encoding="utf-8")
    return 1 if stale and "--check" in args else 0


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with generated parts, as it should be."""
    yield DOCS / "cli.md", command_page()
    yield DOCS / "providers.md", filled(DOCS / "providers.md", "table", providers())
    yield DOCS / "profiles.md", filled(DOCS / "profiles.md", "keys", key_tables())
    yield DOCS / "exit-codes.md", filled(DOCS / "exit-codes.md", "errors", error_table())
    yield DOCS / "architecture.md", filled(DOCS / "architecture.md", "stages", stage_table())
    yield ROOT / "README.md", figures.filled(filled(ROOT / "README.md", "not yet", not_yet()))


def filled(path: Path, name: str, text: str) -> str:
    """The page with `text` between `<!-- name -->` and `<!-- end -->`."""
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (begin and end):
        raise SystemExit(f"{path}: no <!-- {name} --> … <!-- end -->")
    return f"{before}{begin}{text.strip()}\n{end}{after}"


# The command line


def command_page() -> str:
    """docs/cli.md: every command with its arguments and options, as `--help` has them."""
    root = group()
    own = {parameter.name for parameter in root.params}
    parts = [
        "# The command line",
        "Made by `docs/build.py` from the commands themselves; `llmctl COMMAND --help` says the same.",
        "\n".join(f"- [`llmctl {name}`](#llmctl-{name}): {text}" for name, text in COMMANDS.items()),
        "## Options of every command",
        "They stand before or after the command.",
        option_table(root),
    ]
    for name in COMMANDS:
        parts += command_parts(root.get_command(None, name), f"llmctl {name}", own)
    return "\n\n".join(part for part in parts if part) + "\n"


def command_parts(command: Any, path: str, inherited: set[str], level: int = 2) -> list[str]:
    """The parts of one command and of those below it."""
    children = getattr(command, "commands", {})
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    own = own_options(command, inherited)
    words = [path, "[OPTIONS]" if own else "", *(wanted(each) for each in arguments)]
    parts = [f"{'#' * level} `{path}`", (command.help or "").strip()]
    if not children:
        parts.append(f"```text\n{' '.join(word for word in words if word)}\n```")
    parts.append("\n".join(f"- `{wanted(each)}`: {each.help}" for each in arguments))
    parts.append(option_table(command, inherited))
    for child in children.values():
        parts += command_parts(child, f"{path} {child.name}", inherited, level + 1)
    return parts


def wanted(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper().strip("[]")
    return name if argument.required else f"[{name}]"


def own_options(command: Any, without: set[str]) -> list[Any]:
    """The options of a command itself that its help shows."""
    options = [each for each in command.params if each.param_type_name == "option"]
    return [each for each in options if each.name not in without and not each.hidden]


def option_table(command: Any, without: set[str] | None = None) -> str:
    """Options, meaning, default and variable; empty where there is no option."""
    rows = [
        f"| {spelled(each)} | {cell(each.help or '')} | {default_of(each)} | {variable_of(each)} |"
        for each in own_options(command, without or set())
    ]
    head = "| option | meaning | default | variable |\n|---|---|---|---|\n"
    return head + "\n".join(rows) if rows else ""


def spelled(option: Any) -> str:
    names = [f"`{name}`" for name in (*option.opts, *option.secondary_opts)]
    return ", ".join(names) + ("" if option.is_flag else f" `{option.metavar or option.name.upper()}`")


def default_of(option: Any) -> str:
    if option.secondary_opts:
        return f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
    return f"`{option.default}`" if option.default not in (None, False) else ""


def variable_of(option: Any) -> str:
    return f"`{option.envvar}`" if option.envvar else ""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


# The keys of a profile


def key_tables() -> str:
    """A table of all keys, section by section."""
    parts = [section_table(Profile, "")]
    for path, of in sections(Profile, ""):
        own = of.__doc__ and not of.__doc__.startswith(f"{of.__name__}(")  # else dataclass made one up
        parts += [
            f"### `{path}`",
            " ".join((of.__doc__ or "").split()) if own else "",
            section_table(of, path),
        ]
    given = ", ".join(f"`{name}: {value}`" for name, value in DEFAULT_PARAMS.items())
    end = "A model that does not take one of these is asked without it."
    parts.append(f"Model parameters that nobody sets: {given}. {end}")
    return "\n\n".join(part for part in parts if part)


def sections(of: type, path: str) -> Iterator[tuple[str, type]]:
    """Every section below `of`, with its path; `NAME` stands for names of one's own, `[]` for a list."""
    for each in fields(of):
        rule: Rule = each.metadata["rule"]
        if rule.of is None or (of is not Profile and each.name == "timeout"):
            continue
        where = f"{path}.{each.name}" if path else each.name
        where += {"table": ".NAME", "rows": "[]"}.get(rule.kind, "")
        yield where, rule.of
        yield from sections(rule.of, where)


def section_table(of: type, path: str) -> str:
    rows = []
    for each in fields(of):
        said = cell(docs(of)[each.name]) + ("" if in_force(path, each.name) else " *(no effect yet)*")
        rows.append(f"| `{each.name}` | {kind_of(each.metadata['rule'])} | {default(each)} | {said} |")
    return "| key | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(dict.fromkeys(rows))


def kind_of(rule: Rule) -> str:
    """What is written there, in words."""
    said = KINDS.get(rule.kind, rule.kind)
    if rule.of is not None:
        said = {"section": "section", "table": "name: section", "rows": "list of sections"}[rule.kind]
    if rule.choices:
        said = ("list of " if rule.kind == "texts" else "") + ", ".join(f"`{name}`" for name in rule.choices)
    if rule.whole:
        said = "whole number"
    if rule.kind == "number" and (rule.low or rule.high is not None):
        said += f", {rule.low:,} " + (f"to {rule.high:,}" if rule.high is not None else "or more")
    return said


def default(each: Field[Any]) -> str:
    """The default as it would be written in YAML; empty for sections, lists and maps without one."""
    rule: Rule = each.metadata["rule"]
    value = each.default
    if rule.required:
        return "required"
    if rule.of is not None or value is MISSING or value == ():
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`"
    if value is None or isinstance(value, bool):
        return f"`{ {None: 'null', True: 'true', False: 'false'}[value] }`".replace("` ", "`")
    return (
        f"`{value:,g}`"
        if isinstance(value, float)
        else f"`{value:,}`"
        if isinstance(value, int)
        else f"`{value}`"
    )


@cache
def docs(of: type) -> dict[str, str]:
    """The docstrings of a class's fields; every key has to have one."""
    tree = ast.parse(inspect.getsource(of)).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {
        node.target.id: after.value.value
        for node, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    for each in fields(of):
        if each.name not in found:
            raise SystemExit(f"{of.__name__}.{each.name} in {profile.__name__} has no docstring below it")
    return {name: " ".join(str(text).split()) for name, text in found.items()}


# What has an effect: read off the code, so that the page cannot promise more


@cache
def code() -> str:
    """All code that acts on a profile, in one text."""
    return "\n".join(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "llmctl").rglob("*.py"))
        if path.relative_to(ROOT / "llmctl").parts[0] not in ("core", "config")
    )


def in_force(path: str, name: str) -> bool:
    """Whether code outside reading and resolving asks for this key and for the sections it stands in."""
    top, *below = [
        part.removesuffix("[]") for part in f"{path}.{name}".strip(".").split(".") if part != "NAME"
    ]
    if top in ("extends", "description"):
        return True
    asked = [rf"profile\.{top}\b", *(ASKED_AS.get(part, rf"\.{part}\b") for part in below)]
    return all(re.search(each, code()) for each in asked)


def not_yet() -> str:
    """The keys without effect, in a sentence for the README; of a section without effect only its name."""
    idle = [each.name for each in fields(Profile) if not in_force("", each.name)]
    for path, of in sections(Profile, ""):
        where = path.replace(".NAME", "").replace("[]", "")
        if not any(where == name or where.startswith(f"{name}.") for name in idle):
            idle += [f"{where}.{each.name}" for each in fields(of) if not in_force(path, each.name)]
    names = ", ".join(f"`{name}`" for name in idle)
    if not idle:
        return "Every key of a profile has its effect."
    return f"Keys of a profile that are read and checked, but have no effect yet: {names}."


# The pipeline


def stage_table() -> str:
    """The stages in their order, each with the first line of its module."""
    services = Services({}, name="local", home=Path("/nonexistent"))
    modules = [stage.func.__module__ for stage in pipeline.stages(services)]
    rows = []
    for number, module in enumerate([*modules, "llmctl.stages.provider"], 1):
        name = module.rpartition(".")[2]
        said = (import_module(module).__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| {number} | [`{name}`](../llmctl/stages/{name}.py) | {cell(said)} |")
    return "|  | stage | what it does |\n|---|---|---|\n" + "\n".join(rows)


# Errors


def error_table() -> str:
    """Every error type with its exit code; advice that names a command has to name one that is there."""
    rows = []
    for each in vars(errors).values():
        if (
            not (isinstance(each, type) and issubclass(each, errors.LlmctlError))
            or each is errors.LlmctlError
        ):
            continue
        number = "128 + signal" if each is errors.Interrupted else each.exit_code
        known = all(name in COMMANDS for name in re.findall(r"llmctl (\w+)", each.advice))
        again = "yes" if each.retryable else "no"
        rows.append(f"| `{each.type}` | {number} | {again} | {cell(each.advice) if known else ''} |")
    return "| type | exit code | tried again | advice |\n|---|---|---|---|\n" + "\n".join(dict.fromkeys(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
