"""llmctl run: one prompt, one answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmctl.ask import compose
from llmctl.cli import later
from llmctl.cli.inputs import prompt_text, usd
from llmctl.cli.options import Globals, current
from llmctl.cli.session import services, warn
from llmctl.cli.shared import Asking, ask_of, optimized, searched, shortened, spread
from llmctl.cli.weights import offer
from llmctl.core.errors import LlmctlError
from llmctl.core.loop import run as run_core
from llmctl.core.model import Request, Response
from llmctl.core.money import show_usd, to_usd
from llmctl.formats.envelope import write_json
from llmctl.services import Services

if TYPE_CHECKING:
    from llmctl.recipe import Recipe

Block = Literal["first", "last"]
app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
@spread
def run(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The prompt; piped text comes before it. `-`: stdin alone, `@FILE`: a file."),
    ] = None,
    *,
    asking: Asking,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream", help="Show the text as it arrives; not with --json, unless it is said."
        ),
    ] = None,
    extract: Annotated[
        bool, typer.Option("-x", "--extract", help="Only the answer's first code block, if it has one.")
    ] = False,
    show_reasoning: Annotated[
        bool, typer.Option("--show-reasoning", help="The model's reasoning before its answer.")
    ] = False,
    max_cost: Annotated[
        str | None,
        typer.Option("--max-cost", metavar="USD", help="The most it may cost; exit 6 rather than more."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="What it would cost, as `estimate` says it; nothing is sent.")
    ] = False,
) -> int:
    """Ask a model one thing; the answer goes to stdout."""
    options = current()
    opened = services()
    opened.max_cost = None if max_cost is None else usd(max_cost, "--max-cost")
    ask = ask_of(opened, asking, prompt_text(prompt))
    own = ask.recipe.renderer.template.extract if ask.recipe.renderer else None
    shown = Shown("first" if extract else own, show_reasoning)
    if opened.tell is not None:
        opened.tell = shown.beside(opened.tell)
    if not (options.json or shown.whole):
        ask = ask if stream is False else replace(ask, on_text=shown.add)
    elif stream:
        ask = replace(ask, on_text=_not_yet, heard=False)
    if dry_run:
        from llmctl.cli.estimate import of_run

        return of_run(opened, ask)
    request = compose(opened, ask)
    offer(opened, request.target)
    _ = opened.watch  # what is wrong with it is told before anything is sent
    later.add(opened.finish)
    try:
        response, problem = run_core(answer(opened, request))
    except LlmctlError as error:
        shown.end()
        incomplete = "; the answer above is incomplete" if shown.texts else ""
        error.message = f"profile {opened.resolved.name}: {error.message}{incomplete}"
        raise
    report(opened, response, shown, options, ask.recipe)
    if problem is not None:
        raise problem
    return 0


def _not_yet(text: str) -> None:
    """Takes a piece of an answer that is streamed, and shown only once it is whole."""


async def answer(opened: Services, request: Request) -> tuple[Response, Exception | None]:
    """The answer, and what went wrong when all was closed: a reason to fail, but to show the answer first."""
    from llmctl.pipeline import build

    try:
        response = await build(opened)(request)
    except BaseException:
        if (problem := await _closed(opened)) is not None:
            opened.warn(str(problem))  # what came first is the error
        raise
    return response, await _closed(opened)


async def _closed(opened: Services) -> Exception | None:
    try:
        await opened.close()
    except Exception as error:  # noqa: BLE001  # told by the caller, whatever it is
        return error
    return None


class Shown:
    """The text that reached stdout so far. A reader that has gone does not end the call: it is paid for."""

    def __init__(self, extract: Block | None = None, reasoning: bool = False) -> None:
        self.extract = extract
        self.reasoning = reasoning
        self.texts = 0
        self.last = "\n"
        self.failed: OSError | None = None

    @property
    def whole(self) -> bool:
        """Whether the answer is shown only once it is whole."""
        return self.extract is not None or self.reasoning

    def answer(self, response: Response) -> None:
        """The answer, where it has not been shown as it came."""
        if self.reasoning and response.reasoning:
            self.add(response.reasoning.rstrip() + "\n\n")
        text = response.text if response.parsed is None else fitting(response)
        self.add(extracted(text, self.extract) if self.extract else text)

    def add(self, text: str) -> None:
        if not text or self.failed:
            return
        self.texts += 1
        self.last = text[-1]
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            self.failed = error

    def beside(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        """`tell`, on a line of its own where a terminal shows both streams."""

        def told(text: str) -> None:
            if self.last != "\n" and sys.stdout.isatty() and sys.stderr.isatty():
                sys.stderr.write("\n")
            tell(text)

        return told

    def end(self) -> None:
        """Ends the last line; raises what kept the text from being written."""
        if self.failed:
            raise self.failed
        if self.last != "\n":
            sys.stdout.write("\n")
            sys.stdout.flush()  # before what is said on stderr


def report(opened: Services, response: Response, shown: Shown, options: Globals, recipe: Recipe) -> None:
    shortener = recipe.shortener
    if options.json:
        more = {"extracted": extracted(response.text, shown.extract)} if shown.extract else {}
        more |= {**optimized(opened, shortener, response.model), **searched(recipe)}
        write_json({**envelope(opened, response), **more})
        return
    if not shown.texts:
        shown.answer(response)
    shown.end()
    if response.finish_reason == "length" and not options.quiet:
        warn("the answer was cut at max_tokens; raise it with -O max_tokens=…")
    for warning in response.warnings if not options.quiet else ():
        warn(warning)
    if options.verbose:
        sys.stderr.write(summary(response) + "\n")
        if shortener is not None:
            sys.stderr.write(f"llmctl: {shortened(shortener)}\n")
        if recipe.examples_by:
            sys.stderr.write(f"llmctl: the nearest examples by {recipe.examples_by}\n")


def extracted(text: str, which: Block) -> str:
    from llmctl.prompts.blocks import code_block

    return code_block(text, which)


def fitting(response: Response) -> str:
    """The text of an answer with a schema: JSON that a script can read, also where it had to be mended."""
    from llmctl.prompts.answers import as_json

    return as_json(response.text, response.parsed)


def summary(response: Response) -> str:
    """One line for people: model, tokens, cost, time."""
    usage = response.usage
    tokens = f"{usage.input_tokens} + {usage.output_tokens} tokens{' (estimated)' if usage.estimated else ''}"
    origin = (
        f"from the cache, saved {show_usd(response.saved)}" if response.cached else show_usd(response.cost)
    )
    return f"llmctl: {response.model}, {tokens}, {origin}, {response.latency:.2f} s"


def envelope(opened: Services, response: Response) -> dict[str, Any]:
    usage = response.usage
    return {
        "text": response.text,
        "parsed": response.parsed,
        "reasoning": response.reasoning,
        "tool_calls": list(response.tool_calls) or None,
        "model": response.model,
        "profile": opened.resolved.name,
        "finish_reason": response.finish_reason,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "estimated": usage.estimated,
        },
        "cost_usd": to_usd(response.cost),
        "saved_usd": to_usd(response.saved),
        "cached": response.cached or False,
        "attempts": response.attempts,
        "latency_s": round(response.latency, 6),
        "ttft_s": response.ttft if response.ttft is None else round(response.ttft, 6),
        "run_id": opened.run_id,
        "warnings": list(response.warnings),
    }
