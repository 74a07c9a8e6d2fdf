"""`-x`: the first code block of an answer."""

from __future__ import annotations

import pytest

from llmctl.prompts.blocks import code_block


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Sure:\n```python\nprint(1)\n```\nDone.\n```\n2\n```", "print(1)\n"),
        ("```\na\n", "a\n"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```\n"),
        ("~~~\ntilde\n~~~", "tilde\n"),
        ("  ```sh\n  ls\n  ```", "  ls\n"),
        ("```\n```", ""),
        ("no block, `inline` and ```one line```", "no block, `inline` and ```one line```"),
        ("", ""),
    ],
)
def test_the_first_block_or_all(text: str, code: str) -> None:
    """What is piped into a file must be the code and nothing around it."""
    assert code_block(text) == code


def test_the_last_block() -> None:
    """Templates of `llm` may ask for it: models often mend their first try below it."""
    assert code_block("```\n1\n```\nor\n```py\n2\n```\nBye.", "last") == "2\n"
    assert code_block("```\n1\n```\nor\n```\n2", "last") == "2"
    assert code_block("none", "last") == "none"
