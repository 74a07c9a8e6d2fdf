"""The library: the same recipe as the command's."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.client import Client
from llmctl.core.errors import PromptRefused, SchemaMismatch, UsageError

from .server.client import TestServer


@pytest.fixture
def client(environ: dict[str, str], home: Path) -> Iterator[Client]:
    with Client(profile="dev", home=home, environ=environ) as found:
        yield found


def test_a_template_with_examples_and_a_schema(client: Client, server: TestServer) -> None:
    """A program says what a command line says, without building messages itself."""
    answer = client.run(
        "I love it",
        template="classify",
        variables={"labels": ["good", "bad"]},
        examples=[{"input": "meh", "output": {"label": "bad", "confidence": 1}}],
    )
    assert answer.parsed == {"label": "text", "confidence": 0.0}
    messages = server.log()[0]["body"]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert "good, bad" in messages[3]["content"]


def test_a_pydantic_class_is_a_schema(client: Client) -> None:
    """Who has the class at hand need not name its module."""
    from pydantic import BaseModel

    class Who(BaseModel):
        name: str

    assert client.run("Who?", schema=Who).parsed == {"name": "text"}
    assert client.run("Who?", schema="name").parsed == {"name": "text"}


def test_steps_stream_the_answer_alone(client: Client, server: TestServer) -> None:
    """The iterator gives what `response.text` holds."""
    server.script(default="answer:First.\nFinal answer:\n42")
    stream = client.stream("6*7?", cot=True)
    assert "".join(stream) == stream.response.text == "42"
    assert stream.response.reasoning == "First."


def test_errors_are_the_commands(client: Client, server: TestServer, work: Path) -> None:
    """One kind of error for both doors."""
    (work / "i.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(PromptRefused):
        client.run("What?", model="openai/gpt-3.5-turbo", files=[work / "i.png"])
    with pytest.raises(UsageError):
        client.run("x", variables={"a": 1})
    assert not server.log()
    server.script(default="answer:nothing")
    with pytest.raises(SchemaMismatch) as caught:
        client.run("x", schema="name")
    assert len(caught.value.tried) == 3


def test_threads_that_ask_first_share_one_loop(client: Client) -> None:
    """Connections and locks belong to one loop: a second one fails at random, or never comes back."""
    usual, loops = sys.getswitchinterval(), []
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            start = threading.Barrier(4)
            found: list[object] = []

            def ask(start: threading.Barrier = start, found: list[object] = found) -> None:
                start.wait()
                found.append(client._running_loop())

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            loops.append(len(set(map(id, found))))
            client.close()
    finally:
        sys.setswitchinterval(usual)
    assert loops == [1] * 30
