"""llmctl models: models and prices, the choice for a task, the embedded model's weights."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmctl.cli.inputs import prompt_text, usd
from llmctl.cli.options import current
from llmctl.cli.session import services, warn
from llmctl.core.errors import ConfigError, LlmctlError, UsageError
from llmctl.formats.envelope import write_json
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.formats.report import Table
    from llmctl.pricing.choose import Choice

app = typer.Typer(help="Models and prices.", rich_markup_mode=None, no_args_is_help=True)
LEVELS = ("auto", "simple", "normal", "complex")
Format = Annotated[
    str, typer.Option("--format", envvar="LLMCTL_MODELS_FORMAT", help="table, csv or markdown.")
]


@app.callback()
def models() -> None:
    """Models, their prices, and the embedded model's weights."""


@app.command("list")
def list_(
    text: Annotated[str, typer.Argument(help="Only models with this in their name.")] = "",
    provider: Annotated[str | None, typer.Option("--provider", help="Only this provider's.")] = None,
    ability: Annotated[
        list[str] | None,
        typer.Option("--ability", help="Only with: vision, tools, schema, reasoning, audio, …; repeatable."),
    ] = None,
    max_input_price: Annotated[
        float | None, typer.Option("--max-input-price", min=0, help="USD per million input tokens, at most.")
    ] = None,
    context: Annotated[
        str, typer.Option("--context", help="Tokens of context at least: 128000, 128k, 1m.")
    ] = "0",
    sort: Annotated[str, typer.Option("--sort", help="name, price or context.")] = "name",
    format: Format = "table",
) -> int:
    """Chat models that prices are known of, and the profile's own."""
    from llmctl.formats.models import listed
    from llmctl.pricing.models import SORTS, Wanted, known, needed, ordered

    if sort not in SORTS:
        raise UsageError(f"--sort {sort}: not one of {', '.join(SORTS)}")
    words = [word for each in ability or () for word in each.split(",")]
    if max_input_price is not None and not math.isfinite(max_input_price):
        raise UsageError(f"--max-input-price {max_input_price}: not a finite number")
    wanted = Wanted(text, provider, needed(words), max_input_price, size(context))
    opened = services()
    found = ordered(filter(wanted.fits, known(opened.prices, own_models(opened))), by=sort)
    if current().json:
        write_json({"prices": opened.prices.snapshot, "models": [model.envelope() for model in found]})
    else:
        _show(listed(found), format)
    return _warned(opened)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model of the profile, provider/model, or a bare name.")],
) -> int:
    """What is known of one model: context, abilities, every price, where it is asked."""
    from llmctl.formats.models import facts, prices
    from llmctl.pricing.models import look_up, rates

    opened = services()
    model = look_up(opened.prices, opened.targets.model(name))
    try:
        target = opened.targets.choose(name).target
        address, keys = target.api_base or "-", list(target.keys)
    except ConfigError as error:
        address, keys = f"has to be set: {error.hint}", []
    own = opened.prices.override(model.name) is not None
    source = "the profile" if own else opened.prices.snapshot
    if current().json:
        listed = (
            [{"tokens": r.kind, "when": r.when, "usd_per_million": r.usd} for r in rates(model.price)]
            if model.price
            else []
        )
        more = {"address": address, "keys": keys, "prices": listed, "prices_of": source}
        write_json({**model.envelope(), "name": name, **more})
        return _warned(opened)
    told = [
        ("address", address),
        ("key", ", ".join(keys) or "none"),
        ("prices of", source),
    ]
    _show(facts(model, told))
    sys.stdout.write("\n")
    _show(prices(model))
    return _warned(opened)


@app.command()
def pick(
    prompt: Annotated[str | None, typer.Argument(help="The prompt, as for `run`.")] = None,
    complexity: Annotated[
        str, typer.Option("--complexity", help="simple, normal, complex, or auto: judged by the prompt.")
    ] = "auto",
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="The most that the answer may cost.")
    ] = None,
) -> int:
    """The cheapest of the profile's candidates that fits the task: its name on stdout, why on stderr."""
    from llmctl.ask import Ask
    from llmctl.choice import Chooser
    from llmctl.recipe import plain

    if complexity not in LEVELS:
        raise UsageError(f"--complexity {complexity}: not one of {', '.join(LEVELS)}")
    messages = plain(prompt_text(prompt), None, ())
    if not messages and complexity == "auto":
        raise UsageError("there is no prompt to judge", hint="give one, or name the --complexity")
    opened = services()
    level: Any = None if complexity == "auto" else complexity
    most = None if budget is None else usd(budget, "--budget")
    found = Chooser(opened, Ask()).choose(messages, {}, level=level, budget=most)
    return _picked(found)


def _picked(found: Choice) -> int:
    """The choice on stdout, the reasons beside it; with --json all in one object."""
    options = current()
    if options.json:
        write_json(picked(found))
        return 0 if found.chosen else _refused(found).exit_code
    if not options.quiet:
        from llmctl.formats.models import choice
        from llmctl.formats.report import look, render

        render(choice(found), "table", sys.stderr, look(sys.stderr, os.environ))
    sys.stdout.write(found.require().candidate.name + "\n")
    return 0


def picked(found: Choice) -> Mapping[str, Any]:
    """The object of `models pick --json`."""
    from llmctl.core.money import to_usd

    candidates = [
        {
            "name": each.candidate.name,
            "model": each.candidate.model,
            "fits": each.fits,
            "cost_usd": to_usd(each.cost),
            "most_usd": to_usd(each.most),
            "refused": each.refused,
        }
        for each in found.verdicts
    ]
    told = {"candidates": candidates, "complexity": found.complexity, "judged": found.judged}
    if found.chosen is None:
        return {"name": None, "model": None, **told, "error": _refused(found).envelope()}
    return {"name": found.chosen.candidate.name, "model": found.chosen.candidate.model, **told}


def _refused(found: Choice) -> LlmctlError:
    try:
        found.require()
    except LlmctlError as error:
        return error
    raise AssertionError("there is a choice")


@app.command()
def update(
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE|URL", help="A price file of litellm's format.")
    ] = None,
) -> int:
    """Fetch a newer price file: out of litellm's newest wheel on your package index, or --from elsewhere."""
    from llmctl.fetch import newest, of
    from llmctl.formats.models import changed
    from llmctl.pricing.update import install

    found = install(
        newest() if source is None else of(source),
        services().home / "prices",
        source or "litellm's price file",
    )
    if current().json:
        write_json(found.envelope())
    else:
        _show(changed(found))
    return 0


@app.command()
def pull(name: Annotated[str, typer.Argument(help="The embedded model.")] = "smollm2") -> int:
    """Fetch the embedded model's weights: one file, checked against its known sum."""
    from llmctl.providers.weights import pull as pull_weights

    options = current()
    progress = None if options.quiet or options.json or not sys.stderr.isatty() else _progress
    path = pull_weights(name, services().home, progress)
    if options.json:
        write_json({"model": f"local/{name}", "path": str(path)})
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def _progress(done: int, total: int) -> None:
    end = "\n" if done >= total else ""
    sys.stderr.write(f"\rllmctl: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB{end}")


def own_models(opened: Services) -> list[str]:
    """The profile's models as `provider/model`."""
    return [opened.targets.model(name) for name in opened.profile.models]


def size(text: str) -> int:
    """`128000`, `128k`, `1m`: tokens."""
    number, unit = (text[:-1], text[-1].lower()) if text[-1:].isalpha() else (text, "")
    if not number.isdigit() or unit not in ("", "k", "m"):
        raise UsageError(f"--context {text}: not a number of tokens", hint="for example --context 128k")
    return int(number) * {"": 1, "k": 1_000, "m": 1_000_000}[unit]


def _show(table: Table, format: str = "table") -> None:
    from llmctl.formats.report import FORMATS, look, render

    if format not in FORMATS:
        raise UsageError(f"--format {format}: there is no such format", hint=f"one of {', '.join(FORMATS)}")
    render(table, format, sys.stdout, look(sys.stdout, os.environ))


def _warned(opened: Services) -> int:
    """A fetched price file that cannot be used is told."""
    for warning in () if current().quiet else opened.prices.warnings:
        warn(warning)
    return 0
