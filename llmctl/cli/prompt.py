"""llmctl prompt: templates and prompts, looked at before anything is sent."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmctl.ask import Ask, compose
from llmctl.cli.inputs import prompt_text
from llmctl.cli.options import current
from llmctl.cli.prompt_check import check
from llmctl.cli.session import services
from llmctl.cli.shared import Wording, ask_of, searched, spread
from llmctl.core.errors import LlmctlError, UsageError
from llmctl.core.model import Request
from llmctl.core.money import show_usd, to_usd
from llmctl.formats.envelope import write_json
from llmctl.formats.report import Column, Table, look, render
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.formats.messages import Turn
    from llmctl.prompts.model import Template, Variable
    from llmctl.prompts.optimize import Optimized
    from llmctl.prompts.templates import Folders

app = typer.Typer(help="Templates and prompts.", rich_markup_mode=None, no_args_is_help=True)
Prompt = Annotated[
    str | None,
    typer.Argument(help="The prompt; piped text comes before it. `-`: stdin alone, `@FILE`: a file."),
]
FACTS = ("name", "description", "model", "system", "params", "examples", "checks", "json_schema")


@app.callback()
def prompt() -> None:
    """Templates and prompts, looked at before anything is sent."""


@app.command("list")
def list_() -> int:
    """Every template found, the strongest of each name."""
    folders = _folders(services())
    rows: dict[str, dict[str, Any]] = {}
    for name, path, level in folders.all():
        rows.setdefault(name, {"name": name, "from": level, "path": str(path), **_said(str(path))})
    found = [rows[name] for name in sorted(rows)]
    if current().json:
        write_json({"templates": found})
        return 0
    lines = [
        [row["name"], row["from"], ", ".join(row["variables"]), row["error"] or row["description"]]
        for row in found
    ]
    columns = (Column("template"), Column("from"), Column("variables"), Column("what it does"))
    render(Table("", columns, lines), "table", sys.stdout, look(sys.stdout, os.environ))
    return 0


def _folders(opened: Services) -> Folders:
    from llmctl.prompts.templates import Folders

    return Folders(opened.places.project, opened.places.user)


def _said(path: str) -> dict[str, Any]:
    """A template's description and variables, or why it cannot be used."""
    from pathlib import Path

    from llmctl.prompts.templates import read

    try:
        template = read(Path(path))
        variables = [*template.variables, *_undeclared(template)]
    except LlmctlError as error:
        return {"description": "", "variables": [], "error": error.message}
    return {"description": template.description, "variables": variables, "error": None}


def _undeclared(template: Template) -> list[str]:
    """Variables that the text uses and the head does not name. TemplateError where it is no template."""
    from llmctl.prompts.render import Renderer, undeclared

    return undeclared(template.variables, Renderer(template).names)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="A template: a name, or the path of a file.")] = None,
    template: Annotated[str | None, typer.Option("-t", "--template", help="The same.")] = None,
) -> int:
    """One template: what it says of itself, and its text."""
    from llmctl.prompts.templates import load

    wanted = name or template
    if not wanted:
        raise UsageError("no template is named", hint="llmctl prompt list shows them all")
    found = load(wanted, _folders(services()))
    if current().json:
        write_json(_facts(found))
        return 0
    sys.stdout.write(_told(found))
    return 0


def _facts(template: Template) -> dict[str, Any]:
    rule = template.examples
    return {
        "name": template.name,
        "source": template.source,
        "path": str(template.path) if template.path else None,
        "description": template.description,
        "model": template.model,
        "system": template.system,
        "params": dict(template.params),
        "variables": {name: _variable(each) for name, each in template.variables.items()},
        "json_schema": template.schema,
        "examples": None
        if rule is None
        else {"file": str(rule.file) if rule.file else None, "rows": len(rule.rows), "choose": rule.choose},
        "undeclared": _undeclared(template),
        "cot": template.cot,
        "checks": list(template.checks),
        "body": template.body,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    from llmctl.prompts.model import Missing

    default = {} if variable.default is Missing else {"default": variable.default}
    values = {"values": list(variable.values)} if variable.values else {}
    return {
        "type": variable.type,
        "required": variable.required,
        **default,
        **values,
        "help": variable.help,
    }


def _told(template: Template) -> str:
    """The facts as lines, those that there are, then the text as it stands in the file."""
    import orjson

    facts = _facts(template)
    lines = [f"source: {template.source}"]
    for name in FACTS:
        value = facts[name]
        if value:
            said = value if isinstance(value, str) else orjson.dumps(value).decode()
            lines.append(f"{name.removeprefix('json_')}: {said}")
    for name, facts_of in facts["variables"].items():
        kind = "|".join(facts_of["values"]) if "values" in facts_of else facts_of["type"]
        need = f"= {orjson.dumps(facts_of['default']).decode()}" if "default" in facts_of else "(required)"
        if "default" not in facts_of and not facts_of["required"]:
            need = "(optional)"
        lines.append(f"-V {name}: {kind} {need}  {facts_of['help']}".rstrip())
    lines += [f"-V {name}: string (not declared)" for name in facts["undeclared"]]
    if template.cot:
        lines.append("cot: asks for steps")
    return "\n".join([*lines, "", template.body.rstrip(), ""])


@app.command("render")
@spread
def render_(prompt: Prompt = None, *, asking: Wording) -> int:
    """The messages as they would be sent, with the tokens and the price of each."""
    opened = services()
    ask = ask_of(opened, asking, prompt_text(prompt))
    request = sent(opened, compose(opened, ask))
    turns, tokens = _turns(opened, request)
    model, room = request.target.model, opened.facts.answer_room(request)
    cost = opened.facts.cost(model, tokens)
    if current().json:
        messages = [
            {"role": t.role, "content": t.content, "tokens": t.tokens, "cost_usd": to_usd(t.cost)}
            for t in turns
        ]
        about = {"model": model, "params": dict(request.params), "json_schema": request.schema}
        figures = {"input_tokens": tokens, "cost_usd": to_usd(cost), "answer_tokens": room or None}
        write_json({**about, "messages": messages, **figures, **searched(ask.recipe)})
        return 0
    from llmctl.formats.messages import write

    count = f"{len(turns)} message{'' if len(turns) == 1 else 's'}"
    note = f"{count}, {tokens:,} tokens for {model}: {show_usd(cost)}"
    if room:
        most = opened.facts.cost(model, 0, room)
        note += f"; an answer of at most {room:,} tokens: {show_usd(most)}"
    if request.schema is not None:
        note += "; the schema goes along"
    if ask.recipe.examples_by:
        note += f"; the nearest examples by {ask.recipe.examples_by}"
    write(turns, note, sys.stdout, look(sys.stdout, os.environ))
    return 0


def sent(opened: Services, request: Request) -> Request:
    """The request as it would leave: its schema where the model wants it, and redacted."""
    if request.schema is not None:
        request = opened.answers.ready(request)
    rule = opened.profile.privacy
    if not rule.redacts and rule.limit is None:
        return request
    from llmctl.privacy.redact import Redactor
    from llmctl.stages.redact import redacted

    return redacted(request, Redactor(rule))


def _turns(opened: Services, request: Request) -> tuple[list[Turn], int]:
    from llmctl.formats.messages import Turn
    from llmctl.pricing.tokens import PER_ANSWER

    facts, model = opened.facts, request.target.model
    turns = []
    for message in request.messages:
        tokens = facts.count([message], model) - PER_ANSWER
        turns.append(
            Turn(str(message.get("role")), message.get("content"), tokens, facts.cost(model, tokens))
        )
    return turns, facts.count(request.messages, model)


@app.command()
@spread
def optimize(
    prompt: Prompt = None,
    *,
    asking: Wording,
    diff: Annotated[bool, typer.Option("--diff", help="What changes, line by line, not the text.")] = False,
) -> int:
    """A prompt made shorter: the text on stdout, what it saves on stderr."""
    from llmctl.prompts.optimize import optimize_messages

    opened = services()
    limit, asking.max_tokens, asking.optimize = asking.max_tokens, None, False
    ask = ask_of(opened, asking, prompt_text(prompt))
    request = compose(opened, ask)
    model = request.target.model
    shorter, results = optimize_messages(
        request.messages, count=lambda text: opened.facts.count(text, model), max_tokens=limit
    )
    if current().json:
        write_json(_figures(opened, model, results, [dict(message) for message in shorter]))
    else:
        sys.stdout.write(_changes(results) if diff else _text(ask, shorter))
        _tell(_figures(opened, model, results, []))
    return 0


def _figures(
    opened: Services, model: str, results: list[Optimized], messages: list[dict[str, Any]]
) -> dict[str, Any]:
    from llmctl.prompts.optimize import saved

    found = saved(results)
    costs = {
        f"cost_{when}_usd": to_usd(opened.facts.cost(model, found[when])) for when in ("before", "after")
    }
    return {"model": model, **found, **costs, "messages": messages, "diff": _changes(results)}


def _changes(results: list[Optimized]) -> str:
    found = [diff for result in results if (diff := result.diff())]
    return "\n".join(found) + "\n" if found else ""


def _text(ask: Ask, messages: Any) -> str:
    """The prompt alone where it is one text, else every message under its role."""
    from llmctl.formats.messages import body

    if len(messages) == 1 and isinstance(messages[0].get("content"), str):
        text: str = messages[0]["content"]
        return text if text.endswith("\n") else text + "\n"
    return "\n".join(f"{message.get('role')}:\n{body(message.get('content'))}\n" for message in messages)


def _tell(figures: dict[str, Any]) -> None:
    """One line on stderr, and a warning where the limit is not kept."""
    from llmctl.core.money import to_nanos

    if current().quiet:
        return
    before, after = figures["before"], figures["after"]
    share = f" ({(before - after) / before:.0%} less)" if before else ""
    costs = [figures[f"cost_{when}_usd"] for when in ("before", "after")]
    money = "" if None in costs else f", {' -> '.join(show_usd(to_nanos(cost)) for cost in costs)}"
    sys.stderr.write(f"llmctl: {before:,} -> {after:,} tokens{share}{money} with {figures['model']}\n")
    for done in figures["done"]:
        sys.stderr.write(f"llmctl: {done}\n")
    if not figures["fits"]:
        sys.stderr.write("llmctl: warning: it cannot be made as short as that\n")


app.command()(spread(check))
