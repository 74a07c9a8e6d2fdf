"""From what a user wishes a prompt to be to the recipe that makes it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.ask import Ask, base, is_auto
from llmctl.core.errors import UsageError
from llmctl.core.files import expanded
from llmctl.core.model import Message, Request
from llmctl.recipe import Prepared, Recipe, Room

if TYPE_CHECKING:
    from llmctl.prompts.attach import Attachment
    from llmctl.prompts.examples import Chooser, Likeness
    from llmctl.prompts.model import ExamplesRule
    from llmctl.prompts.render import Renderer
    from llmctl.prompts.shorten import Shortener
    from llmctl.services import Services


MAX_ENCODED = 5_000
"""Examples that are compared by meaning: some milliseconds each, at every start."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A recipe in the words of the command line, or of a program; every part may be absent.

    `variables` are `key=value` texts or a map; `examples` the path of a file or rows with `input` and
    `output`; `schema` a JSON schema, a text that `prompts.schema.load` reads, or a Pydantic class.
    """

    template: str | None = None
    variables: Sequence[str] | Mapping[str, Any] = ()
    examples: str | Path | Sequence[Mapping[str, Any]] | None = None
    inside: bool | None = None
    """Examples in the system text (True) or as turns; None: as the template says, else as turns."""
    choose: str | None = None
    seed: int = 0
    cot: bool = False
    files: Sequence[str | Path] = ()
    schema: Mapping[str, Any] | str | type | None = None
    optimize: bool = False
    max_tokens: int | None = None
    """The most tokens of a prompt, where it is optimized."""


def prepare(
    services: Services, wish: Wish, model: str | None = None, params: Mapping[str, Any] | None = None
) -> Prepared:
    """Loads and compiles what is wished for. ConfigError (3) for files, UsageError (2) for bad values.

    `model` and `params` are what was asked for besides: tokens are counted as that model counts them.
    """
    if wish == NOTHING:
        return Prepared()
    template = renderer = None
    if wish.template is not None:
        from llmctl.prompts.render import Renderer
        from llmctl.prompts.templates import Folders, load

        template = load(wish.template, Folders(services.places.project, services.places.user))
        renderer = Renderer(template)
    elif wish.variables:
        raise UsageError("-V needs a template", hint="name one with -t; see llmctl prompt list")
    own = template.params if template else {}
    measure = Measure(services, model or (template.model if template else None), {**own, **(params or {})})
    rule = template.examples if template else None
    chooser = _chooser(wish, rule, measure)
    recipe = Recipe(
        renderer=renderer,
        values=_known(_values(wish.variables), renderer),
        chooser=chooser,
        inside=_inside(wish, rule),
        room=measure.room() if chooser else None,
        cot=wish.cot or bool(template and template.cot),
        files=_files(wish.files),
        shortener=_shortener(wish, measure),
    )
    spec = template.schema if wish.schema is None and template else wish.schema
    folder = template.folder if template and wish.schema is None else None
    return Prepared(
        recipe,
        template.model if template else None,
        own,
        None if spec is None else _schema(spec, folder),
    )


NOTHING = Wish()


class Measure:
    """Counts tokens as the model does that will most likely be asked."""

    def __init__(self, services: Services, model: str | None, params: Mapping[str, Any]) -> None:
        self.services = services
        self._asked = None if is_auto(services, model) else model, params

    @cached_property
    def request(self) -> Request:
        """What would be asked, without its messages."""
        return base(self.services, Ask(model=self._asked[0], params=self._asked[1]))

    def count(self, what: str | Sequence[Message]) -> int:
        return self.services.facts.count(what, self.request.target.model)

    def room(self) -> Room | None:
        """What the model's window leaves beside the answer; None where it is unknown."""
        facts, model = self.services.facts, self.request.target.model
        window = facts.window(model)
        if window is None:
            return None
        return Room(window - facts.answer_room(self.request), self.count, model, self.services.warn)


def _values(given: Sequence[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    if not given:
        return {}
    from llmctl.prompts.variables import parse_assignments

    return parse_assignments(given)


def _known(values: Mapping[str, Any], renderer: Renderer | None) -> Mapping[str, Any]:
    """The values, each of a variable that the template has: a slip of the pen is not ignored."""
    from llmctl.prompts.model import nearest

    if renderer is None or not values:
        return values
    known = renderer.names | set(renderer.template.variables)
    for name in values:
        if name not in known:
            source = renderer.template.source
            raise UsageError(f"-V {name}: {source} has no such variable", hint=nearest(name, known))
    return values


def _chooser(wish: Wish, rule: ExamplesRule | None, measure: Measure) -> Chooser | None:
    given = wish.examples
    if given is None and rule is None:
        if wish.choose is not None or wish.inside is not None:
            option = "--examples-as" if wish.choose is None else "--examples-how"
            raise UsageError(f"{option} needs examples", hint="name a file with --examples")
        return None
    from llmctl.prompts import examples

    if isinstance(given, str | Path):
        found = examples.load(expanded(given))
    elif given is not None:
        found = [examples.example(row, f"examples[{n}]") for n, row in enumerate(given)]
    else:
        assert rule is not None
        found = examples.from_rule(rule)
    own = rule.choose if rule and given is None else "all"
    how = own if wish.choose is None else wish.choose
    near = _likeness(measure.services, len(found)) if how.startswith("nearest") else None
    return examples.Chooser(found, how, seed=wish.seed, likeness=near, count=measure.count)


def _inside(wish: Wish, rule: ExamplesRule | None) -> bool:
    if wish.inside is not None:
        return wish.inside
    return bool(rule and rule.inside and wish.examples is None)


def _likeness(services: Services, examples: int) -> Likeness | None:
    """By meaning where that can be told, else None: by shared words, and the user hears of it."""
    from llmctl.prompts.examples import Likeness

    if services.encoder is None:
        services.warn("the nearest examples are those that share words; by meaning with the extra `semantic`")
        return None
    if examples > MAX_ENCODED:
        services.warn(f"more than {MAX_ENCODED:,} examples: the nearest are those that share words")
        return None
    return Likeness("meaning", services.encoder.similarity)


def _files(names: Sequence[str | Path]) -> tuple[Attachment, ...]:
    if not names:
        return ()
    from llmctl.prompts.attach import read

    return tuple(read(expanded(name), str(name)) for name in names)


def _shortener(wish: Wish, measure: Measure) -> Shortener | None:
    if not wish.optimize:
        if wish.max_tokens is not None:
            hint = "-O max_tokens=N limits the answer; --optimize --max-tokens N the prompt"
            raise UsageError("--max-tokens needs --optimize", hint=hint)
        return None
    from llmctl.prompts.shorten import Shortener

    return Shortener(measure.count, wish.max_tokens, measure.services.warn)


def _schema(spec: Any, folder: Path | None) -> Mapping[str, Any]:
    """`spec` as in Wish; the schema of a class is what Pydantic says it is."""
    from llmctl.prompts.schema import load

    if isinstance(spec, type):
        spec = spec.model_json_schema()  # type: ignore[attr-defined]  # a Pydantic class, as Wish says
    return load(spec, folder=folder, classes=folder is None)
