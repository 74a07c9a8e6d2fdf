"""Token counts: the bound bounds, the count is tiktoken's, the network is never touched."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.pricing.encodings import counter, load, pieces, tokenizer_of
from llmctl.pricing.tokens import BOUND_IMAGE, Meter, count, upper_bound


def _user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_the_count_of_a_text_is_tiktokens() -> None:
    """Figures known from OpenAI's own documentation of its tokenizer."""
    assert count("hello world", "openai/gpt-4o").tokens == 2
    assert count("antidisestablishmentarianism", "openai/gpt-4").tokens == 6
    assert count("お誕生日おめでとう", "openai/gpt-4").tokens == 9
    assert count("お誕生日おめでとう", "openai/gpt-4o").tokens == 8
    assert count("", "openai/gpt-4o").tokens == 0


def test_messages_have_the_published_overhead() -> None:
    """3 around each message with its role and text, 1 and the name where it has one, 3 for the answer."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "name": "bob", "content": "hello world"},
        {"role": "user", "content": [{"type": "text", "text": "hello world"}]},
    ]
    counted = count(messages, "openai/gpt-4o")
    assert counted.tokens == (3 + 1 + 2 + 1 + 1) + (3 + 1 + 2) + 3
    assert counted.exact


@pytest.mark.parametrize(
    ("model", "name", "exact"),
    [
        ("openai/gpt-4o-mini-2024-07-18", "o200k_base", True),
        ("azure/gpt-35-turbo", "cl100k_base", True),
        ("openai/gpt-5-nano", "o200k_base", True),
        ("groq/openai/gpt-oss-120b", "o200k_base", True),
        ("openai/gpt-9", "o200k_base", False),
        ("anthropic/claude-sonnet-4-5", "o200k_base × 1.20", False),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "o200k_base × 1.20", False),
        ("gemini/gemini-2.5-pro", "o200k_base", False),
        ("groq/llama-3.3-70b-versatile", "cl100k_base", False),
        ("mistral/mistral-large-latest", "o200k_base × 1.06", False),
        ("dashscope/qwen-plus", "o200k_base × 1.02", False),
        ("hosted_vllm/mine", "o200k_base × 1.10", False),
        ("", "o200k_base × 1.10", False),
    ],
)
def test_the_tokenizer_is_named(model: str, name: str, exact: bool) -> None:
    """A count by a stand-in must not look like the truth."""
    counted = count("Twelve drummers drumming", model)
    assert (counted.tokenizer, counted.exact) == (name, exact)
    assert counted.tokens >= 5


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(
    texts=st.lists(_texts, max_size=4),
    model=st.sampled_from(["openai/gpt-4o", "openai/gpt-4", "mistral/mixtral"]),
)
@settings(deadline=None)
def test_the_bound_is_never_below_the_count(texts: list[str], model: str) -> None:
    """A reservation below the truth lets a budget be passed."""
    messages = [{"role": "user", "content": text, "name": text[:20]} for text in texts]
    assert upper_bound(messages) >= count(messages, model).tokens


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "\ud800 lone"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "ж" * 50}, "bare", {"type": "new", "x": "y" * 90}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "function": {"arguments": "{}" * 40}}],
        },
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A" * 64_000}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "A" * 64_000}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://a.example/b.png"}]},
    ],
)
def test_every_kind_of_content_is_counted(message: dict[str, Any]) -> None:
    """A part that counts nothing would be paid for without having been estimated."""
    model = "openai/gpt-4o-mini"
    counted = count([message], model).tokens
    assert count([{"role": message["role"], "content": ""}], model).tokens < counted
    assert counted <= upper_bound([message], model=model) <= upper_bound([message])


def test_schemas_and_tools_are_part_of_the_bound() -> None:
    """They are billed as input like the prompt."""
    schema = {"type": "object", "properties": {"ж" * 100: {"type": "string"}}}
    plain = upper_bound(_user("x"))
    assert upper_bound(_user("x"), None, None) == plain
    assert upper_bound(_user("x"), schema, [schema]) > plain + 400


def test_an_image_is_bounded_by_what_the_model_takes_most_for_one() -> None:
    """gpt-4o-mini bills an image as some 30 times the tokens of gpt-4o's."""
    image = _user([{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}])
    empty = upper_bound(_user([]))
    assert upper_bound(image, model="openai/gpt-4o") - empty == BOUND_IMAGE
    assert upper_bound(image) - empty == upper_bound(image, model="openai/gpt-4o-mini") - empty > 48_169


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize("run", [" ", "\n", "a", "A", "1", ".", "ж", "\u0301", "aA", " \n", "😀"])
def test_a_megabyte_of_one_sign_is_counted(encoding: str, run: str) -> None:
    """tiktoken's own pattern overflows on a million spaces, and prompts are made by people."""
    text = (run * 1_000_000)[:1_000_000]
    started = time.process_time()
    tokens = counter(encoding)(text)
    assert 0 < tokens <= len(text.encode())
    assert time.process_time() - started < 20


def test_cutting_a_long_text_does_not_change_its_count() -> None:
    """Texts are cut where every encoding cuts too, so long prompts are still exact."""
    text = "The quick brown fox; jumps (over) 12 lazy dogs.\n  Indented\tline é ü 漢字 end. " * 5000
    assert len(pieces(text)) > 3
    assert "".join(pieces(text)) == text
    assert counter("o200k_base")(text) == len(load("o200k_base").encode_ordinary(text))


def test_counting_touches_neither_litellm_nor_the_network() -> None:
    """CI runs without a network, and importing litellm costs seconds."""
    script = (
        "import socket, sys\n"
        "def refuse(*args, **kw): raise AssertionError('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from llmctl.pricing.tokens import count, upper_bound\n"
        "upper_bound([{'role': 'user', 'content': 'x'}])\n"
        "print('tiktoken' in sys.modules, end=' ')\n"
        "print(count('hello world', 'openai/gpt-4o').tokens, end=' ')\n"
        "print(count('hello', 'openai/gpt-4').tokens, end=' ')\n"
        "print('litellm' in sys.modules, 'requests' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "2", "1", "False", "False"], done.stderr


def test_tiktoken_is_left_as_it_was() -> None:
    """Programs that use the library may use tiktoken themselves."""
    from tiktoken.load import load_tiktoken_bpe
    from tiktoken_ext import openai_public  # type: ignore[import-untyped]

    load("cl100k_base")
    assert openai_public.load_tiktoken_bpe is load_tiktoken_bpe
    assert tokenizer_of("openai/gpt-4o").own


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"])
def test_a_meter_counts_as_count_does(model: str) -> None:
    """An estimate of a file must be the sum of what its rows would be counted as one by one."""
    system = {"role": "system", "content": "Answer in one word. " * 30}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    asked = (
        (system, {"role": "user", "content": "Which colour has the sky?"}),
        (system, {"role": "user", "content": "a long one: " + "word " * 200}),
        ({"role": "user", "content": [{"type": "text", "text": "What is this?"}, image], "name": "Ana"},),
    )
    meter = Meter(model)
    for _ in range(2):
        assert [meter.measure(each).tokens for each in asked] == [count(each, model).tokens for each in asked]


def test_a_meter_counts_what_goes_along() -> None:
    """Schemas and tools are read as input too."""
    messages = ({"role": "user", "content": "hi"},)
    meter = Meter("openai/gpt-4o-mini")
    alone = meter.measure(messages, None)
    assert meter.measure(messages, {"type": "object"}).texts > alone.texts == alone.tokens - 6
