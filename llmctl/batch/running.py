"""Where running batches say how far they are, for page and terminal: a small file each under the home.

A batch rewrites its file at most once a second and marks it when it ends; whoever looks sees by the
owner's number that one has died. A file is forgotten an hour after its end. Saying so never harms
the batch: what cannot be written is left unsaid.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from llmctl.batch.tally import Tally
from llmctl.core.canonical import clean
from llmctl.core.errors import LlmctlError
from llmctl.core.files import private_folder, private_open
from llmctl.state import owner

FOLDER = "running"
EVERY_S = 1.0
KEPT_S = 3600.0
"""How long an ended batch is still shown."""
LARGEST = 65_536
"""Bytes; what is larger was not written here."""


class Running:
    """A batch's own file. `told` is what does not change: profile, model, input, out."""

    def __init__(self, home: Path, run: str, tally: Tally, told: dict[str, str | None]) -> None:
        self.path = home / FOLDER / f"{run}.json"
        self.tally = tally
        names = {name: value and clean(value) for name, value in told.items()}  # a file's may be no UTF-8
        self._fixed = {"run_id": run, "owner": owner.me(), "started": time.time(), **names}
        self._due = 0.0
        self._began = self._ended = False

    def tick(self) -> None:
        """Writes how it stands, where that is a second old."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + EVERY_S
            self._write(None)

    def end(self, exit_code: int | None) -> None:
        """Marks it as ended, once; None: it broke off. One that never began is not told of."""
        if self._began and not self._ended:
            self._ended = True
            self._write({"exit_code": exit_code})

    def _write(self, ended: dict[str, Any] | None) -> None:
        body = {**self._fixed, "at": time.time(), "ended": ended, **self.tally.envelope()}
        with suppress(OSError, LlmctlError):
            if not self._began:
                private_folder(self.path.parent)
                _forget(self.path.parent)
                self._began = True
            beside = self.path.with_suffix(".new")
            with private_open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "wb") as file:
                file.write(orjson.dumps(body))
            beside.replace(self.path)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as its file tells it; times are Unix seconds, `figures` the fields of `batch --json`.

    `state`: `running`, `ended` with an exit code, or `died` without having said a word.
    """

    run: str
    state: Literal["running", "ended", "died"]
    started: float
    at: float
    exit_code: int | None
    told: dict[str, str | None]
    figures: dict[str, Any]

    @property
    def finished(self) -> int:
        """Rows that need no more asking."""
        return int(self.figures["rows"]) - int(self.figures["pending"])

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None where that is not known."""
        rate, pending = self.figures["rows_per_s"], self.figures["pending"]
        return pending / rate if self.state == "running" and rate else None

    def envelope(self) -> dict[str, Any]:
        return {
            "run_id": self.run,
            "state": self.state,
            "started": self.started,
            "at": self.at,
            "exit_code": self.exit_code,
            "finished": self.finished,
            "left_s": None if self.left_s is None else round(self.left_s, 3),
            **self.told,
            **self.figures,
        }


def batches(home: Path, *, now: float | None = None) -> list[Batch]:
    """The batches under a home that run, or ended within the hour; the newest first."""
    moment = time.time() if now is None else now
    found = [batch for batch in _all(home / FOLDER) if moment - batch.at < KEPT_S or batch.state == "running"]
    return sorted(found, key=lambda batch: (batch.state != "running", -batch.started, batch.run))


def _all(folder: Path) -> Iterator[Batch]:
    with suppress(OSError):
        for path in folder.glob("*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                if path.stat().st_size <= LARGEST:
                    yield _batch(orjson.loads(path.read_bytes()))


TOLD = ("profile", "model", "input", "out")


def _batch(body: dict[str, Any]) -> Batch:
    ended = body.pop("ended")
    told = {name: body.pop(name, None) for name in TOLD}
    run, started, at = str(body.pop("run_id")), float(body.pop("started")), float(body.pop("at"))
    of = body.pop("owner")
    state: Literal["running", "ended", "died"] = (
        "ended" if ended is not None else "died" if owner.is_dead(of) else "running"
    )
    return Batch(run, state, started, at, (ended or {}).get("exit_code"), told, body)


def _forget(folder: Path) -> None:
    """Takes away what ended long ago, and what nobody finished writing."""
    for path in folder.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 24 * KEPT_S:
                path.unlink()
