"""The last step before anything is written lets no key pass."""

from __future__ import annotations

import json

import pytest

from llmctl.core.hidden import Hidden, has_open_key, names_key

KEY = "made-up-" + 'k"3y\\' * 3 + "/+="


def test_a_loaded_key_is_masked_in_every_form() -> None:
    """Logs are JSON, and addresses are percent-encoded: the same key looks another way there."""
    hidden = Hidden()
    hidden.add(KEY)
    for text in (KEY, json.dumps({"a": KEY}), "made-up-k%223y%5Ck%223y%5Ck%223y%5C%2F%2B%3D", f"x{KEY}{KEY}"):
        assert "made-up" not in hidden.mask(text) and "***" in hidden.mask(text)


def test_a_longer_key_goes_before_its_own_beginning() -> None:
    """Else the rest of the longer one would stay to be read."""
    hidden = Hidden()
    hidden.add("abcdefgh")
    hidden.add("abcdefgh-secret-end")
    assert hidden.mask("see abcdefgh-secret-end") == "see ***"


def test_variables_named_like_keys_count_as_loaded() -> None:
    """litellm and the SDKs read theirs from the environment without asking us."""
    hidden = Hidden()
    environ = {
        "AWS_SECRET_ACCESS_KEY": "wJalr" * 5,
        "MY_API_KEY_2": "opaque-value-99",
        "LANG": "en_US.UTF-8-long",
    }
    hidden.watch(environ)
    masked = hidden.mask(" ".join(environ.values()))
    assert masked == "*** *** en_US.UTF-8-long"


def test_makers_keys_that_nobody_loaded() -> None:
    """What a user mistyped into the wrong place is a key all the same."""
    for key in ("sk-" + "a1" * 12, "AKIA" + "A1B2" * 4, "ghp_" + "a1" * 18, "xoxb-" + "1234567890"):
        assert has_open_key(f"no profile '{key}'")
        assert key not in Hidden().mask(f"no profile '{key}'")


def test_words_are_no_keys() -> None:
    """A mask over everything would make every message useless."""
    hidden = Hidden()
    hidden.add("abc")  # too short to be anything
    for text in ("abc", "task-force and risk-averse", "ghost", "the eyJ prefix", "AKIA"):
        assert hidden.mask(text) == text


@pytest.mark.parametrize("name", ["api_key", "X-Api-Key", "Authorization", "aws_secret_access_key", "token"])
def test_names_of_keys(name: str) -> None:
    """A value under such a name is a key, whatever it looks like."""
    assert names_key(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "prompt_cache_key", "logit_bias", "top_k", "tokenizer", "user"]
)
def test_names_of_parameters(name: str) -> None:
    """A parameter that only sounds like one is sent."""
    assert not names_key(name)
