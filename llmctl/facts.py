"""What is known of a model before it is asked: its context window, its eyes, its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmctl.core.model import Message, Request, Usage
from llmctl.core.money import Nanos

if TYPE_CHECKING:
    from llmctl.pricing.book import PriceBook


class Facts:
    """Looked up in the price book, which is opened at the first question."""

    def __init__(self, book: Callable[[], PriceBook]) -> None:
        self._book = book

    def window(self, model: str) -> int | None:
        """The context window of `provider/model` in tokens; None: unknown."""
        if model.startswith("local/"):
            from llmctl.providers.local_host import CONTEXT

            return CONTEXT
        room = (self._book().info(model) or {}).get("max_input_tokens")
        return room if isinstance(room, int) else None

    def sees(self, model: str) -> bool | None:
        """Whether the model takes images; None: unknown."""
        if model.startswith("local/"):
            return False
        info = self._book().info(model)
        return None if info is None else info.get("supports_vision") is True

    def answer_room(self, request: Request) -> int:
        """Tokens that are kept for the answer; 0 where nothing is said.

        A number that nobody asked for counts no further than what the model can answer at most.
        """
        caps = {name: request.params.get(name) for name in ("max_completion_tokens", "max_tokens")}
        found = {name: cap for name, cap in caps.items() if isinstance(cap, int)}
        if not found:
            return 0
        name = max(found, key=found.__getitem__)
        longest = (self._book().info(request.target.model) or {}).get("max_output_tokens")
        asked = name not in request.defaults
        return found[name] if asked or not isinstance(longest, int) else min(found[name], longest)

    def count(self, what: str | Sequence[Message], model: str) -> int:
        """The tokens of a text or of messages for that model, by the best tokenizer at hand."""
        from llmctl.pricing.tokens import count

        return count(what, model).tokens

    def bound(self, messages: Sequence[Message], model: str) -> int:
        """Tokens that the messages cannot exceed, at once."""
        from llmctl.pricing.tokens import upper_bound

        return upper_bound(messages, model=model)

    def cost(self, model: str, tokens: int, answer: int = 0) -> Nanos | None:
        """What so many tokens of prompt and of answer cost; None: unknown."""
        from llmctl.pricing.cost import cost

        price = self._book().price(model)
        return None if price is None else cost(price, Usage(input_tokens=tokens, output_tokens=answer))
