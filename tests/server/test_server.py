"""The script, the log, the connection and the process."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from .client import PACKAGE, ROOT, TestServer, refused_url
from .raw import HEADERS, KEY, QUIET, ask, listen, talk


def say(server: TestServer, text: str = "hello", *, key: str = KEY, model: str = "some-model") -> int:
    """Ask in OpenAI's format; the status."""
    path, body = ask(text=text, model=model)
    return talk(server.port, path, body, {"Authorization": f"Bearer {key}"}).status


def wait_until_in_flight(server: TestServer, count: int) -> None:
    """Wait for requests that other threads are sending."""
    deadline = time.monotonic() + 10
    while server.stats()["in_flight"] != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_queue_then_default(server: TestServer) -> None:
    """One fault a request in order, null is a normal answer, then the default."""
    server.script(queue=["status:500", None, "status:503"], default="status:404")
    assert [say(server) for _ in range(5)] == [500, 200, 503, 404, 404]


def test_narrow_rules_win(server: TestServer) -> None:
    """Text before key before model before the rest: one row, key or house fails while others work."""
    server.script(
        match=[{"contains": "row 7", "queue": ["status:500"]}],
        by_key={"bad": {"default": "status:401"}, "good": {"default": None}},
        by_model={"down": {"default": "status:503"}},
        default="status:404",
    )
    assert say(server, "row 7", key="bad") == 500
    assert say(server, "row 7", key="bad") == 401  # the row's queue is used up
    assert say(server, key="good", model="down") == 200
    assert say(server, model="down") == 503
    assert say(server) == 404


def test_side_requests_use_up_no_queue(server: TestServer) -> None:
    """A list of models asked for in between must not take the fault meant for the chat; its key's holds."""
    server.script(queue=["status:500"], by_key={"bad": {"default": "key_refused"}})
    assert talk(server.port, "/v1/models", headers=HEADERS["openai"]).status == 200
    assert talk(server.port, "/v1/models", headers={"Authorization": "Bearer bad"}).status == 401
    assert say(server) == 500


def test_chance_is_repeatable(server: TestServer) -> None:
    """The same seed gives the same faults, about as many as asked for."""
    runs = []
    for _ in range(2):
        server.script(random={"seed": 7, "faults": {"status:500": 0.3, "status:503": 0.2}})
        runs.append([say(server) for _ in range(100)])
    assert runs[0] == runs[1]
    assert 15 < runs[0].count(500) < 45
    assert 8 < runs[0].count(503) < 35


def test_latency_and_headers(server: TestServer) -> None:
    """They hold for every answer, errors among them."""
    server.script(latency=0.15, headers={"x-house": "test"}, queue=["status:500", None])
    for status in (500, 200):
        heard = talk(server.port, *ask(), HEADERS["openai"])
        assert (heard.status, heard.headers["x-house"]) == (status, "test")
        assert heard.seconds >= 0.15


def test_limits_of_its_own(server: TestServer) -> None:
    """Who asks too much at once or too fast is refused at once, and it does not count as being answered."""
    server.script(limits={"at_once": 2, "fault": "retry_after:3"}, latency=0.2)
    threads = [threading.Thread(target=say, args=(server,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.stats()["by_status"] == {"200": 2, "429": 3}
    assert say(server) == 200
    server.script(limits={"per_second": 0.1, "burst": 2})
    assert [say(server) for _ in range(4)] == [200, 200, 429, 429]


@pytest.mark.parametrize(
    "script",
    [
        {"que": []},
        {"limits": {"at_one": 1}},
        {"by_key": {"k": {"defualt": None}}},
        {"match": [{"contains": "x", "fault": "html"}]},
    ],
)
def test_unknown_fields_of_a_script(script: dict[str, Any], server: TestServer) -> None:
    """A misspelt field would leave the fault out and the test green."""
    with pytest.raises(ValueError, match="unknown field of a script: "):
        server.script(**script)


def test_a_fault_that_fails_is_told(server: TestServer) -> None:
    """Were the connection just dropped, the test would take it for the fault it asked for."""
    server.script(default="ratelimit:nonsense")
    heard = talk(server.port, *ask(), HEADERS["openai"])
    assert heard.status == 500
    assert heard.error["message"].startswith("test server: ValueError")


def test_log(server: TestServer) -> None:
    """Tests assert on what was really sent, so the log must have all of it."""
    server.script(queue=["reset_in_body", None])
    say(server, "first one")
    say(server, "second")
    first, second = server.log()
    assert (first["n"], second["n"]) == (1, 2)
    assert first["t"] <= second["t"] <= time.monotonic()
    assert (first["method"], first["path"]) == ("POST", "/v1/chat/completions")
    assert first["headers"]["authorization"] == f"Bearer {KEY}"
    assert first["body"]["messages"][0]["content"] == "first one"
    assert (first["fault"], first["done"], first["billed_tokens"]) == ("reset_in_body", False, 5)
    assert (second["fault"], second["done"], second["billed_tokens"]) == (None, True, 3)
    assert server.log(since=1) == [second]
    server.reset()
    assert server.log() == []


def test_stats(server: TestServer) -> None:
    """What limits and budgets are checked against: how many at once, what came back, what it cost."""
    server.script(queue=["status:500", "reset_before_headers"], default="delay:0.3")
    say(server)
    talk(server.port, *ask(), HEADERS["openai"])
    threads = [threading.Thread(target=say, args=(server,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until_in_flight(server, 4)
    for thread in threads:
        thread.join()
    stats = server.stats()
    assert (stats["requests"], stats["in_flight"], stats["max_in_flight"], stats["connections"]) == (
        6,
        0,
        4,
        6,
    )
    assert stats["by_status"] == {"500": 1, "none": 1, "200": 4}
    assert stats["billed"] == {"input_tokens": 4 + 4, "output_tokens": 5 + 8}
    assert stats["times"] == sorted(stats["times"])


def test_a_client_that_leaves_is_not_in_flight(server: TestServer) -> None:
    """A killed process must not count for ever, and its answer was not delivered."""
    server.script(default="no_headers")
    path, body = ask()
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    client.request("POST", path, json.dumps(body), HEADERS["openai"])
    wait_until_in_flight(server, 1)
    client.close()
    wait_until_in_flight(server, 0)
    assert not server.log()[0]["done"]


def test_connections_are_kept(server: TestServer) -> None:
    """Clients that reuse connections must be told apart from those that open one a request."""
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    path, body = ask()
    for _ in range(3):
        client.request("POST", path, json.dumps(body), HEADERS["openai"])
        assert client.getresponse().read()
    client.close()
    assert server.stats()["connections"] == 1


def test_requests_in_pieces(server: TestServer) -> None:
    """A request may come in any pieces, and in chunks."""
    body = json.dumps(ask()[1]).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:20], body[20:])) + b"0\r\n\r\n"
    sent = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), 50):
            connection.sendall(sent[start : start + 50])
            time.sleep(0.001)
        assert listen(connection).text == "echo: one two three four"


def test_unknown_addresses(server: TestServer) -> None:
    """A wrong api_base is a 404 that names the address."""
    heard = talk(server.port, "/v2/chat", {}, HEADERS["openai"])
    assert (heard.status, heard.error["message"]) == (404, "Invalid URL (POST /v2/chat)")


def test_a_big_answer_does_not_pile_up(server: TestServer) -> None:
    """20 MB are written as they are read, and are done only when all of it was."""
    server.script(default="big:20000000")
    path, body = ask(stream=True)
    heard = talk(server.port, path, body, HEADERS["openai"])
    assert len(heard.body) > 20_000_000
    assert heard.whole
    wait_until_in_flight(server, 0)
    assert server.log()[0]["done"]


def test_no_log() -> None:
    """A benchmark's million requests must not fill the memory."""
    with TestServer.start(log=False) as quiet:
        say(quiet)
        assert quiet.log() == []
        assert quiet.stats()["requests"] == 1


def test_tls_is_refused(tls_server: TestServer) -> None:
    """A certificate that nobody trusts must be one, or a client that never checks would pass."""
    client = http.client.HTTPSConnection("127.0.0.1", tls_server.port, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.request("GET", "/v1/models")


def test_faults_work_below_tls(tls_server: TestServer) -> None:
    """A reset must be one under TLS too. (asyncio tells it from an end of file, `ssl.SSLSocket` does not.)"""
    path, body = ask()
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(data)}\r\n"

    async def say_once() -> bytes:
        context = ssl._create_unverified_context()
        reader, writer = await asyncio.open_connection("127.0.0.1", tls_server.port, ssl=context)
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
        return await reader.read()

    tls_server.script(queue=["reset_before_headers", None])
    with pytest.raises(ConnectionResetError):
        asyncio.run(say_once())
    assert b"echo: one two three four" in asyncio.run(say_once())


def test_two_servers(server: TestServer, other_server: TestServer) -> None:
    """A fallback needs a second house with its own script and log."""
    server.script(default="status:503")
    assert (say(server), say(other_server)) == (503, 200)
    assert len(server.log()) == len(other_server.log()) == 1


def test_refused() -> None:
    """Nobody must listen there."""
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(refused_url().removeprefix("http://"), timeout=5).request("GET", "/")


def test_the_server_ends_with_its_parent(tmp_path: Path) -> None:
    """A killed test run must leave no process behind."""
    code = f"import sys, time\nsys.path.insert(0, {str(ROOT)!r})\nfrom {PACKAGE}.client import TestServer\n"
    code += "server = TestServer.start()\nprint(server._process.pid, flush=True)\ntime.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Does the process run? One that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_sigterm_ends_it_with_stalled_clients() -> None:
    """A stall must not hold up the end of a test run."""
    server = TestServer.start()
    server.script(default="no_headers")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        body = json.dumps(ask()[1])
        head = f"POST {ask()[0]} HTTP/1.1\r\nAuthorization: Bearer k\r\nContent-Length: {len(body)}"
        connection.sendall(f"{head}\r\n\r\n{body}".encode())
        connection.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        os.kill(server._process.pid, signal.SIGTERM)
        assert server._process.wait(10) == 0
    server.stop()
