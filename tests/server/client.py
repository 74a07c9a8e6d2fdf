"""The handle that tests hold: starts the server as a process, scripts it, reads its log."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

PACKAGE = __package__ or "tests.server"
ROOT = Path(__file__).resolve().parents[len(PACKAGE.split("."))]


class TestServer:
    """A running server; a context manager that stops it."""

    __test__ = False  # its name makes pytest take it for a test

    def __init__(self, process: subprocess.Popen[str], port: int, *, tls: bool = False) -> None:
        self.port = port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self.openai = f"{self.url}/v1"
        self.anthropic = self.url
        self.gemini = f"{self.url}/v1beta"
        self.ollama = self.url
        self._process = process
        context = ssl._create_unverified_context()
        no_proxy = urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(no_proxy, urllib.request.HTTPSHandler(context=context))

    @classmethod
    def start(cls, *, tls: tuple[Path, Path] | None = None, log: bool = True) -> TestServer:
        """Start the process and wait until it listens. It ends with this one, even if this one is killed."""
        command = [sys.executable, "-m", PACKAGE]
        command += ["--tls", *map(str, tls)] if tls else []
        command += [] if log else ["--no-log"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the test server ended with {process.wait()} before it listened")
        return cls(process, json.loads(line)["port"], tls=tls is not None)

    def script(self, **script: Any) -> None:
        """Replace the script; its fields are in `script.py`. Raises ValueError with the server's words."""
        self._call("POST", "/_script", script)

    def reset(self) -> None:
        """Normal answers again, and an empty log."""
        self._call("POST", "/_reset", {})

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """The requests received after number `since`, oldest first; fields in `log.py`."""
        entries: list[dict[str, Any]] = self._call("GET", f"/_log?since={since}")
        return entries

    def stats(self) -> dict[str, Any]:
        """Counts, tokens billed and arrival times."""
        stats: dict[str, Any] = self._call("GET", "/_stats")
        return stats

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def __enter__(self) -> TestServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from error


def refused_url() -> str:
    """An address on loopback where nobody listens (fault: connection refused)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def self_signed(folder: Path) -> tuple[Path, Path] | None:
    """A certificate for 127.0.0.1 and its key, which no client trusts; None where there is no openssl."""
    openssl = shutil.which("openssl")
    if not openssl:
        return None
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True)
    return certificate, key
