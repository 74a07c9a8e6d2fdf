"""A dashboard as people start it: a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Its process and its address, without the slash at the end."""

    process: subprocess.Popen[str]
    url: str

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", timeout: float = 30
    ) -> Answer:
        request = Request(self.url + path, headers=dict(headers or {}), method=method)
        try:
            with urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())

    def cpu(self) -> float:
        """Seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


def minimal(folder: Path) -> dict[str, str]:
    """The variables of a user who has asked nobody yet, with a home in the folder."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LLMCTL_HOME": str(folder / "home"),
        "OPENAI_API_KEY": "sk-" + "test" * 6,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@contextmanager
def serving(environ: Mapping[str, str], work: Path, *args: str) -> Iterator[Dashboard]:
    process = subprocess.Popen(
        [sys.executable, "-m", "llmctl", "dashboard", "--port", "0", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=work,
        env=dict(environ),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://"), process.communicate()
        yield Dashboard(process, line.strip().rstrip("/"))
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30)
