"""How a prompt becomes messages: template, examples, attached files, chain of thought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmctl.core.canonical import clean, digest
from llmctl.core.model import Message

if TYPE_CHECKING:
    from llmctl.prompts.attach import Attachment
    from llmctl.prompts.examples import Chooser
    from llmctl.prompts.render import Renderer
    from llmctl.prompts.shorten import Shortener


@dataclass(frozen=True, slots=True)
class Recipe:
    """Made once a command, used for every prompt of it. Without anything set: the prompt alone."""

    renderer: Renderer | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    chooser: Chooser | None = None
    inside: bool = False
    room: Room | None = None
    """What examples must leave room for; None: there are none, or the window is unknown."""
    cot: bool = False
    files: tuple[Attachment, ...] = ()
    shortener: Shortener | None = None

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
            found = self._rendered(self.renderer, prompt, system, variables or {})
        if not found:
            return ()
        asked = prompt or question(found)
        if self.files:
            from llmctl.prompts.attach import attach

            found = attach(found, self.files)
        if self.chooser is not None:
            found = self._with_examples(self.chooser, found, asked)
        return self._finished(found)

    def _finished(self, found: tuple[Message, ...]) -> tuple[Message, ...]:
        if self.cot:
            from llmctl.prompts.reasoning import instruct, instruction
        if self.shortener is not None:
            found = self.shortener(found, instruction() if self.cot else "")
        return instruct(found) if self.cot else found

    def _with_examples(self, chooser: Chooser, found: tuple[Message, ...], asked: str) -> tuple[Message, ...]:
        from llmctl.prompts.examples import join

        joined = join(found, chooser.choose(asked), self.inside)
        if self.room is None or self.room.holds(joined):
            return joined
        return join(found, chooser.choose(asked, self.room.left(found)), self.inside)

    def _rendered(
        self, renderer: Renderer, prompt: str, system: str | None, row: Mapping[str, Any]
    ) -> tuple[Message, ...]:
        """A prompt beside a template fills its variable, or follows its text."""
        values = {**self.values, **row}
        if "prompt" in row and "prompt" in renderer.names:
            prompt = ""  # the row's `prompt` is a variable like its other fields
        name = renderer.prompt_variable(values) if prompt.strip() else None
        if name is not None:
            values[name] = prompt
        found = renderer.messages(values)
        if system:
            found = (
                {"role": "system", "content": clean(system)},
                *(m for m in found if m["role"] != "system"),
            )
        return _followed(found, clean(prompt)) if prompt.strip() and name is None else found

    @property
    def examples_by(self) -> str | None:
        """How the nearest examples are found: `meaning` or `shared words`; None: nothing is searched."""
        return self.chooser.by if self.chooser else None

    def told(self) -> list[Any]:
        """All that decides what prompts become, the same in every process."""
        return [
            str(self.renderer.template) if self.renderer else None,
            dict(self.values),
            self.chooser and self.chooser.told,
            self.inside,
            self.cot,
            [[file.name, file.text or digest(file.image or b"")] for file in self.files],
            [self.shortener.limit] if self.shortener else None,
        ]


class Room:
    """How many tokens a prompt with its examples may have; `warn` is told once of examples left out."""

    def __init__(
        self, tokens: int, count: Callable[[Sequence[Message]], int], model: str, warn: Callable[[str], None]
    ) -> None:
        self.tokens = tokens
        self._count = count
        self._model = model
        self._warn = warn
        self._warned = False

    def holds(self, messages: Sequence[Message]) -> bool:
        """Whether they fit; counted only where it may get close."""
        from llmctl.pricing.tokens import upper_bound

        return upper_bound(messages, model=self._model) <= self.tokens or self._count(messages) <= self.tokens

    def left(self, messages: Sequence[Message]) -> int:
        """Tokens left for examples beside these messages."""
        if not self._warned:
            self._warned = True
            self._warn(f"not all examples fit into the context window of {self._model}; some are left out")
        return max(self.tokens - self._count(messages), 0)


PLAIN = Recipe()


def _followed(messages: tuple[Message, ...], prompt: str) -> tuple[Message, ...]:
    """The messages with the prompt behind the last user text: some models take no two user turns in a row."""
    *before, last = messages
    if last["role"] != "user":
        return (*messages, {"role": "user", "content": prompt})
    return (*before, {**last, "content": f"{last['content']}\n\n{prompt}"})


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
class Prepared:
    """The recipe, and what the template says of model, parameters and schema."""

    recipe: Recipe = PLAIN
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
