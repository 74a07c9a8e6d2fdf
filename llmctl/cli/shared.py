"""The options that `run`, `batch`, `estimate` and `prompt` share: what is asked, in a user's words.

A command takes them by a parameter `asking` and the decorator `spread`, so that each option is
declared once:

    @app.command()
    @spread
    def run(prompt: …, *, asking: Asking) -> int:
        ask = ask_of(services(), asking, prompt)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmctl.ask import Ask, asked
from llmctl.cli.inputs import key_values, refuse_key
from llmctl.core.errors import UsageError
from llmctl.core.model import CacheMode
from llmctl.core.money import to_usd
from llmctl.recipe import Prepared, Recipe
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.prompts.shorten import Shortener

Texts = list[str] | None


class Wording:
    """What a prompt becomes: all that decides which messages a model gets."""

    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A model of the profile, or provider/model.")
    ] = None
    system: Annotated[str | None, typer.Option("-s", "--system", help="System text.")] = None
    option: Annotated[
        Texts, typer.Option("-O", "--option", help="A model parameter, as key=value; repeatable.")
    ] = None
    template: Annotated[
        str | None, typer.Option("-t", "--template", help="A template: a name, or the path of a file.")
    ] = None
    variable: Annotated[
        Texts, typer.Option("-V", "--var", help="A template's variable: key=value or key=@file; repeatable.")
    ] = None
    file: Annotated[
        Texts, typer.Option("-f", "--file", help="A text or an image to send along; repeatable.")
    ] = None
    examples: Annotated[
        str | None, typer.Option("--examples", help="JSONL or CSV with `input` and `output`, shown first.")
    ] = None
    examples_how: Annotated[
        str | None,
        typer.Option("--examples-how", help="Which: all, first:N, random:N or nearest:N. Default: all."),
    ] = None
    examples_as: Annotated[
        str | None, typer.Option("--examples-as", help="turns, or text: inside the system text.")
    ] = None
    examples_seed: Annotated[int, typer.Option("--examples-seed", help="Decides what random:N draws.")] = 0
    cot: Annotated[bool, typer.Option("--cot", help="Ask for steps; the answer comes apart.")] = False
    schema: Annotated[
        str | None,
        typer.Option("--schema", help="JSON schema: a file, JSON, `name, age int`, or module:Class."),
    ] = None
    optimize: Annotated[bool, typer.Option("--optimize", help="Shorten the prompt before it is sent.")] = (
        False
    )
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="With --optimize: cut the prompt to so many tokens."),
    ] = None


class Asking(Wording):
    """As Wording, and what becomes of the answer."""

    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask anew and replace the stored answer.")] = (
        False
    )
    tag: Annotated[str | None, typer.Option("--tag", help="A label for usage reports and budgets.")] = None


def spread(command: Callable[..., int]) -> Callable[..., int]:
    """The command with the options of its parameter `asking` in that parameter's place."""
    own = inspect.signature(command, eval_str=True)
    kind: type[Wording] = own.parameters["asking"].annotation
    options = options_of(kind)

    def spreading(**given: Any) -> int:
        asking = kind()
        for name in options:
            setattr(asking, name, given.pop(name))
        return command(asking=asking, **given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        parameters += options.values() if name == "asking" else [parameter]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    spreading.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # PEP 362
    spreading.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    spreading.__name__, spreading.__doc__ = command.__name__, command.__doc__
    return spreading


def options_of(kind: type[Wording]) -> dict[str, inspect.Parameter]:
    """The options that a class declares, those of its bases first."""
    return {
        name: inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=getattr(kind, name), annotation=annotation
        )
        for base in reversed(kind.__mro__)
        for name, annotation in inspect.get_annotations(base, eval_str=True).items()
    }


def ask_of(services: Services, asking: Wording, prompt: str = "", **more: Any) -> Ask:
    """The question; `more` are further fields of Ask. UsageError, ConfigError for what is wrong in it."""
    refuse_key(asking.model, "-m")
    refuse_key(getattr(asking, "tag", None), "--tag")
    params = key_values(asking.option or [], "-O")
    ask = Ask(
        prompt=prompt,
        system=asking.system,
        model=asking.model,
        params=params,
        cache=_cache_mode(asking),
        tag=getattr(asking, "tag", None),
    )
    return replace(asked(ask, prepared(services, asking, params)), **more)


def prepared(services: Services, asking: Wording, params: Mapping[str, Any]) -> Prepared:
    """The recipe that the options describe; the usual one, a prompt alone, costs nothing."""
    given = (
        *(asking.template, asking.schema, asking.max_tokens),
        *(asking.examples, asking.examples_how, asking.examples_as),
    )
    flags = (asking.variable, asking.file, asking.cot, asking.optimize)
    if not any(flags) and all(value is None for value in given):
        return Prepared()
    from llmctl.wish import Wish, prepare

    wish = Wish(
        template=asking.template,
        variables=asking.variable or (),
        examples=asking.examples,
        inside=_inside(asking.examples_as),
        choose=asking.examples_how,
        seed=asking.examples_seed,
        cot=asking.cot,
        files=asking.file or (),
        schema=asking.schema,
        optimize=asking.optimize,
        max_tokens=asking.max_tokens,
    )
    return prepare(services, wish, asking.model, params)


def _inside(given: str | None) -> bool | None:
    """What --examples-as says."""
    if given not in (None, "turns", "text"):
        raise UsageError(f"--examples-as {given}: not one of turns, text")
    return None if given is None else given == "text"


def optimized(services: Services, shortener: Shortener | None, model: str) -> dict[str, Any]:
    """The field `optimized` of JSON output: tokens, and USD of input at the model's price; {} without."""
    if shortener is None:
        return {}
    saved = shortener.before - shortener.after
    return {
        "optimized": {
            "before": shortener.before,
            "after": shortener.after,
            "saved_tokens": saved,
            "saved_usd": to_usd(services.facts.cost(model, saved)),
            "done": list(shortener.done),
        }
    }


def searched(recipe: Recipe) -> dict[str, str]:
    """The field `examples_by` of JSON output: how the nearest examples were found; {} where none were."""
    return {"examples_by": recipe.examples_by} if recipe.examples_by else {}


def shortened(shortener: Shortener) -> str:
    """The same for people."""
    what = "the prompt" if shortener.prompts == 1 else f"{shortener.prompts:,} prompts"
    return f"{what}: {shortener.before:,} tokens made {shortener.after:,}"


def _cache_mode(asking: Wording) -> CacheMode:
    if getattr(asking, "no_cache", False):
        return "off"
    return "refresh" if getattr(asking, "refresh", False) else "use"
