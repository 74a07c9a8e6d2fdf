"""`--optimize` over many prompts: what is saved is added up, what does not fit is told."""

from __future__ import annotations

from llmctl.prompts.shorten import Shortener


def count(text: str) -> int:
    return len(text.split())


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_savings_add_up() -> None:
    """A batch wants to know what it saved in all."""
    shortener = Shortener(count)
    order = "Always answer in plain French words."
    for _ in range(3):
        assert shortener(user(f"{order}  {order}")) == (user(order)[0],)
    assert (shortener.prompts, shortener.before, shortener.after) == (3, 36, 18)


def test_what_joins_later_takes_its_room() -> None:
    """The limit is that of the whole prompt, not of a part of it."""
    text = " ".join(f"Sentence number {n} is here." for n in range(40))
    whole, less = Shortener(count, 50)(user(text)), Shortener(count, 50)(user(text), "ten words " * 10)
    assert count(str(whole[0]["content"])) <= 50
    assert count(str(less[0]["content"])) <= 30


def test_what_cannot_be_cut_is_told_once() -> None:
    """Silence would let somebody believe that the limit holds."""
    warnings: list[str] = []
    shortener = Shortener(count, 3, warnings.append)
    for _ in range(2):
        shortener([{"role": "system", "content": "one two three four five six"}, *user("hi there you all")])
    assert len(warnings) == 1
    assert "3 tokens" in warnings[0]
