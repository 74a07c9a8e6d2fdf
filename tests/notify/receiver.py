"""A webhook receiver on a loopback socket: keeps what it is sent, and fails as often as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`taken` and `refused` hold what came: path, headers (lower-case) and body."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        """The next answers; 200 when there are none left."""
        self.location = ""
        self.taken: list[Heard] = []
        self.refused: list[Heard] = []
        self._lock = threading.Lock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def messages(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The JSON of what was taken, of one type or all."""
        found = [json.loads(each.body) for each in self.taken]
        return [each for each in found if kind is None or each["type"] == kind]

    def hear(self, heard: Heard) -> int:
        with self._lock:
            status = self.statuses.pop(0) if self.statuses else 200
            (self.taken if status < 300 else self.refused).append(heard)
            return status


class Heard:
    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.hear(Heard(self.path, headers, body)))
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
