"""What errors may not repeat: the key and the prompt, whatever of them a provider quotes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.providers.told import KEY_RUN, TEXT_RUN, without

KEY = "hunter" + "2secret" * 3
LONG = "My neighbour Ferdinand keeps four llamas in his cellar, and one of them speaks Latin at night."
PLAIN = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=30)


@settings(deadline=None)
@given(PLAIN, PLAIN, st.integers(0, len(KEY)), st.integers(0, len(KEY)))
def test_no_part_of_the_key_stays(before: str, after: str, start: int, stop: int) -> None:
    """A quote that was cut short is still half a key."""
    said = without(before + KEY[start:stop] + after, KEY, ())
    assert not any(KEY[at : at + KEY_RUN] in said for at in range(len(KEY) - KEY_RUN + 1))


@settings(deadline=None)
@given(PLAIN, PLAIN, st.integers(0, len(LONG)), st.integers(0, len(LONG)))
def test_no_part_of_the_prompt_stays(before: str, after: str, start: int, stop: int) -> None:
    """Gateways quote the beginning of a request, or the piece that their filter did not like."""
    said = without(before + LONG[start:stop] + after, None, ["another text", LONG])
    assert not any(LONG[at : at + TEXT_RUN] in said for at in range(len(LONG) - TEXT_RUN + 1))


def test_a_short_prompt_is_hidden_as_a_whole_word() -> None:
    """`model` as a prompt is no reason to make every message unreadable, `say hello` is hidden."""
    assert without("bad: say hello", None, ["say  hello\n"]) == "bad: ***"
    assert without("bad: say hellos", None, ["say hello"]) == "bad: say hellos"
    assert without("the model is gone", None, ["model"]) == "the model is gone"


def test_what_is_no_quote_stays() -> None:
    """The cause has to be readable."""
    said = "This model's maximum context length is 8192 tokens. (HTTP 400)"
    assert without(said, KEY, [LONG]) == said
