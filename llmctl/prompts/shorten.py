"""`--optimize`: every prompt of a command made shorter, and what that saved in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmctl.core.model import Message
from llmctl.prompts.optimize import Count, Optimized, optimize_messages


class Shortener:
    """Shortens messages to `limit` tokens (None: only without loss) and adds up what that saved.

    `warn` is told once where a prompt cannot be made as short as that.
    """

    def __init__(
        self, count: Count, limit: int | None = None, warn: Callable[[str], None] = lambda text: None
    ) -> None:
        self.limit = limit
        self.before = self.after = self.prompts = 0
        self.done: dict[str, None] = {}
        self._count = count
        self._warn = warn
        self._warned = False

    def __call__(self, messages: Sequence[Message], room: str = "") -> tuple[Message, ...]:
        """The messages, shorter; `room` is a text that is still to join them and counts as well."""
        limit = None if self.limit is None else max(self.limit - (self._count(room) if room else 0), 1)
        shorter, results = optimize_messages(messages, count=self._count, max_tokens=limit)
        self._add(results)
        if limit is not None and not self._warned and sum(each.after for each in results) > limit:
            self._warned = True
            self._warn(f"a prompt cannot be made as short as {self.limit:,} tokens; it is sent longer")
        return shorter

    def _add(self, results: Sequence[Optimized]) -> None:
        self.prompts += 1
        self.before += sum(each.before for each in results)
        self.after += sum(each.after for each in results)
        if self.prompts == 1:
            self.done.update(dict.fromkeys(done for each in results for done in each.done))
