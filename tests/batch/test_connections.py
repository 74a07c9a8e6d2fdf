"""A batch over connections that end when they like."""

from __future__ import annotations

import json
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .harness import assert_answered, questions, read, requests, start, write

ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "model": "gpt-4o-mini",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


@pytest.fixture
def hanging_up() -> Iterator[str]:
    """The address of a server that keeps no connection for a second request, and does not say so."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer_once, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    listening.close()


def answer_once(connection: socket.socket) -> None:
    with suppress(OSError), connection:
        asked = b""
        while b"question" not in asked or not asked.endswith(b"}"):
            asked += connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: \xe9\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))
        connection.recv(1)  # the next request comes, and gets nothing


@pytest.mark.parametrize("extra", [(), ("--workers", "2")])
def test_a_server_that_hangs_up_unannounced(
    extra: tuple[str, ...], hanging_up: str, llmctl: Run, work: Path
) -> None:
    """It is well: no breaker opens, and no row fails for want of retries."""
    write(work / "in.jsonl", questions(80))
    args = ("-o", "out.jsonl", "--no-cache", "--concurrency", "20", *extra)
    done = llmctl("batch", "in.jsonl", *args, env={"OPENAI_BASE_URL": hanging_up})
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in read(work / "out.jsonl")] == ["yes"] * 80


def test_a_request_id_that_is_no_utf_8(hanging_up: str, llmctl: Run, work: Path) -> None:
    """One odd byte in a header, of which no JSON can be made as it is, must not cost a paid answer."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "a question"}]}
    write(
        work / "in.jsonl", [{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}]
    )
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", env={"OPENAI_BASE_URL": hanging_up})
    assert done.returncode == 0, done.stderr
    (row,) = read(work / "out.jsonl")
    assert row["response"]["request_id"] == "\\udce9"
    assert row["response"]["body"]["choices"][0]["message"]["content"] == "yes"


@pytest.mark.parametrize("hard", [4096, 80])
def test_more_in_flight_than_the_system_lets_files_be_open(
    hard: int, environ: dict[str, str], server: TestServer, work: Path
) -> None:
    """A row that finds no descriptor would lose the answer that is paid for, and others with it."""
    rows = questions(150)
    write(work / "in.jsonl", rows)
    server.script(latency=0.2)

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))

    running = start(environ, work, "in.jsonl", "-o", "out.jsonl", "--concurrency", "120", setup=few)
    code, _, err = running.end()
    assert code == 0, err
    assert_answered(work / "out.jsonl", rows)
    assert requests(server) == 150
    assert ("ulimit -n" in err) == (hard == 80)
