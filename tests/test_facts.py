"""What is known of models before they are asked."""

from __future__ import annotations

from pathlib import Path

from llmctl.core.model import Request, Target
from llmctl.facts import Facts
from llmctl.pricing.book import PriceBook
from llmctl.providers.local_host import CONTEXT


def facts(folder: Path) -> Facts:
    book = PriceBook(folder)
    return Facts(lambda: book)


def test_windows_and_eyes(tmp_path: Path) -> None:
    """None is unknown, which is neither yes nor no."""
    known = facts(tmp_path)
    assert known.window("openai/gpt-4o-mini") == 128_000
    assert known.window("local/smollm2") == CONTEXT
    assert known.window("hosted_vllm/mine") is None
    eyes = [known.sees(f"openai/{name}") for name in ("gpt-4o-mini", "gpt-3.5-turbo", "nobody-knows")]
    assert eyes == [True, False, None]
    assert known.sees("local/smollm2") is False


def test_the_room_for_the_answer(tmp_path: Path) -> None:
    """A number that nobody asked for must not refuse a small model's prompts."""
    known = facts(tmp_path)

    def room(model: str, defaults: frozenset[str] = frozenset(), **params: object) -> int:
        return known.answer_room(Request(Target("t", model, "openai"), (), params, defaults))

    small = "openai/gpt-4-0613"
    assert room(small) == 0
    assert room(small, max_tokens=9000) == 9000
    assert room(small, frozenset({"max_tokens"}), max_tokens=9000) == 4096
    assert room(small, max_tokens=10, max_completion_tokens=20) == 20
    assert room("openai/nobody-knows", frozenset({"max_tokens"}), max_tokens=9000) == 9000


def test_costs(tmp_path: Path) -> None:
    """Input and answer at their own price; unknown stays unknown, free is 0."""
    known = facts(tmp_path)
    assert known.cost("openai/gpt-4o-mini", 1_000_000) == 150_000_000
    assert known.cost("openai/gpt-4o-mini", 0, 1_000_000) == 600_000_000
    assert known.cost("openai/nobody-knows", 10) is None
    assert known.cost("local/smollm2", 10) == 0
