"""How a prompt becomes messages: template, examples, attached files, chain of thought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.core.canonical import clean
from llmctl.core.errors import UsageError
from llmctl.core.model import Message

if TYPE_CHECKING:
    from llmctl.prompts.attach import Attachment
    from llmctl.prompts.examples import Chooser
    from llmctl.prompts.render import Renderer
    from llmctl.services import Services


@dataclass(frozen=True, slots=True)
class Recipe:
    """Made once a command, used for every prompt of it. Without anything set: the prompt alone."""

    renderer: Renderer | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    chooser: Chooser | None = None
    inside: bool = False
    cot: bool = False
    files: tuple[Attachment, ...] = ()

    def messages(
        self,
        prompt: str,
        *,
        system: str | None = None,
        history: Sequence[Message] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> tuple[Message, ...]:
        """The chat messages; empty where there is nothing to ask. TemplateError, UsageError."""
        if self.renderer is None:
            found = plain(prompt, system, history)
        else:
            found = self._rendered(self.renderer, prompt, system, {**self.values, **(variables or {})})
        if not found:
            return ()
        if self.chooser is not None:
            from llmctl.prompts.examples import join

            found = join(found, self.chooser.choose(prompt or question(found)), self.inside)
        if self.files:
            from llmctl.prompts.attach import attach

            found = attach(found, self.files)
        if self.cot:
            from llmctl.prompts.reasoning import instruct

            found = instruct(found)
        return found

    def _rendered(
        self, renderer: Renderer, prompt: str, system: str | None, values: dict[str, Any]
    ) -> tuple[Message, ...]:
        """A prompt beside a template fills its variable, or follows its text."""
        name = renderer.prompt_variable(values) if prompt.strip() else None
        if name is not None:
            values[name] = prompt
        found = renderer.messages(values)
        if system:
            found = (
                {"role": "system", "content": clean(system)},
                *(m for m in found if m["role"] != "system"),
            )
        if prompt.strip() and name is None:
            found = (*found, {"role": "user", "content": clean(prompt)})
        return found


PLAIN = Recipe()


def plain(prompt: str, system: str | None, history: Sequence[Message]) -> tuple[Message, ...]:
    """System text, what was said before, the prompt; what is blank is left out."""
    found: list[Message] = []
    if system:
        found.append({"role": "system", "content": clean(system)})
    found.extend(history)
    if prompt.strip():
        found.append({"role": "user", "content": clean(prompt)})
    return tuple(found)


def question(messages: Sequence[Message]) -> str:
    """The last user text: what examples are chosen for."""
    for message in reversed(messages):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""


@dataclass(frozen=True, slots=True)
class Wish:
    """A recipe in the words of the command line; every part may be absent."""

    template: str | None = None
    variables: Sequence[str] = ()
    examples: str | None = None
    choose: str | None = None
    seed: int = 0
    cot: bool = False
    files: Sequence[str] = ()
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The recipe, and what the template says of model, parameters and schema."""

    recipe: Recipe = PLAIN
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None


def prepare(services: Services, wish: Wish) -> Prepared:
    """Loads and compiles what is wished for. ConfigError (3) for files, UsageError (2) for bad values."""
    if wish == Wish():
        return Prepared()
    template = renderer = None
    if wish.template:
        from llmctl.prompts.render import Renderer
        from llmctl.prompts.templates import Folders, load

        template = load(wish.template, Folders(services.places.project, services.places.user))
        renderer = Renderer(template)
    elif wish.variables:
        raise UsageError("-V needs a template", hint="name one with -t; see llmctl prompt list")
    recipe = Recipe(
        renderer=renderer,
        values=_values(wish.variables),
        chooser=_chooser(wish, template.examples if template else None),
        inside=bool(template and template.examples and template.examples.inside and not wish.examples),
        cot=wish.cot or bool(template and template.cot),
        files=_files(wish.files),
    )
    spec = wish.schema or (template.schema if template else None)
    folder = template.folder if template and not wish.schema else None
    return Prepared(
        recipe,
        template.model if template else None,
        template.params if template else {},
        _schema(spec, folder) if spec is not None else None,
    )


def _values(assignments: Sequence[str]) -> Mapping[str, Any]:
    if not assignments:
        return {}
    from llmctl.prompts.variables import parse_assignments

    return parse_assignments(assignments)


def _chooser(wish: Wish, rule: Any) -> Chooser | None:
    if not wish.examples and rule is None:
        return None
    from llmctl.prompts import examples

    if wish.examples:
        return examples.Chooser(examples.load(Path(wish.examples)), wish.choose or "all", seed=wish.seed)
    return examples.Chooser(examples.from_rule(rule), wish.choose or rule.choose, seed=wish.seed)


def _files(names: Sequence[str]) -> tuple[Attachment, ...]:
    if not names:
        return ()
    from llmctl.prompts.attach import read

    return tuple(read(Path(name).expanduser(), name) for name in names)


def _schema(spec: Mapping[str, Any] | str, folder: Path | None) -> Mapping[str, Any]:
    from llmctl.prompts.schema import load

    return load(spec, folder=folder, classes=True)
