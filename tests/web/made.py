"""Made-up calls by the hundred thousand: inserted in bulk, and summed up by the ledger's own code."""

from __future__ import annotations

import math
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmctl.usage.ledger import CALL, INSERT_CALL
from llmctl.usage.rollup import REBUILD
from llmctl.usage.schema import connect

MODELS = {
    # share of the calls, seconds of a usual answer, nano-dollars a token of input and output
    "openai/gpt-4o-mini": (0.46, 0.9, 150, 600),
    "openai/gpt-4.1": (0.18, 2.1, 2000, 8000),
    "anthropic/claude-sonnet-4-5": (0.14, 3.0, 3000, 15000),
    "gemini/gemini-2.5-flash": (0.16, 0.7, 300, 2500),
    "groq/llama-3.3-70b-versatile": (0.06, 0.4, 590, 790),
}
ERRORS = ("rate_limit", "rate_limit", "server_error", "timeout", "content_refused", "connection")
TAGS = ("nightly", "ci", "support", None)
PROFILES = ("prod", "prod", "prod", "dev")


def made(path: Path, calls: int, days: float, *, now: float | None = None, seed: int = 7) -> Path:
    """A ledger of so many calls over the days up to now, more by day than by night, dearer by the week."""
    db = connect(path)
    db.execute("BEGIN")
    db.executemany(INSERT_CALL, rows(calls, days, time.time() if now is None else now, random.Random(seed)))
    summed(db)
    db.close()
    return path


def summed(db: sqlite3.Connection) -> None:
    """The ledger's sums over what was inserted, in the transaction that is open; ends it."""
    for statement in REBUILD.split(";"):
        db.execute(statement)
    db.execute("COMMIT")


def rows(calls: int, days: float, now: float, chance: random.Random) -> Iterator[tuple[Any, ...]]:
    names = list(MODELS)
    weights = [MODELS[name][0] for name in names]
    trouble = now - days * 86400 * 0.31
    for number in range(calls):
        at = _when(days, now, chance)
        model = chance.choices(names, weights)[0]
        _, usual, asked_price, said_price = MODELS[model]
        troubled = abs(at - trouble) < days * 900 and model.startswith("openai")
        failed = chance.random() < (0.4 if troubled else 0.012)
        hit = not failed and chance.random() < 0.22
        asked, said = int(chance.lognormvariate(6.4, 0.9)), int(chance.lognormvariate(5.0, 0.8))
        latency = 0.002 if hit else chance.lognormvariate(math.log(usual), 0.45) * (3 if troubled else 1)
        cost = asked * asked_price + said * said_price
        call: dict[str, Any] = dict.fromkeys(CALL)
        call.update(
            id=number + 1, at=at, run=f"run-{number // 500}", profile=chance.choice(PROFILES), model=model,
            asked=model, provider=model.partition("/")[0], tag=chance.choice(TAGS),
            status="failed" if failed else "ok", error=chance.choice(ERRORS) if failed else None,
            finish=None if failed else "stop", input_tokens=asked, output_tokens=0 if failed else said,
            cached_tokens=asked // 3, cache_write_tokens=0, reasoning_tokens=0, estimated=0,
            cost=0 if failed or hit else cost, saved=cost if hit else 0,
            billed="no" if failed or hit else "yes",
            hit="exact" if hit else None, attempts=0 if hit else 1 + (chance.random() < 0.03),
            latency=latency, ttft=None if hit or failed else latency * 0.3, prices="made-up",
            request_hash="0" * 32, prompt_chars=asked * 4, answer_chars=said * 4,
        )  # fmt: skip
        yield tuple(call.values())


def _when(days: float, now: float, chance: random.Random) -> float:
    while True:
        at = now - chance.random() * days * 86400
        by_day = 0.55 + 0.45 * math.sin((at / 86400 - 0.3) * 2 * math.pi)
        if chance.random() < by_day * (0.45 + 0.55 * (1 - (now - at) / (days * 86400))):
            return at
