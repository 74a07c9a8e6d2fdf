"""What a batch has come to so far: counts, tokens, money, latencies."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from llmctl.batch.ended import Ended
from llmctl.core.money import Nanos, to_usd
from llmctl.usage.histogram import bucket, value


class Latencies:
    """A histogram: flat memory, percentiles within 1 %."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self.buckets[bucket(seconds)] += 1

    def percentile(self, share: float) -> float | None:
        """Seconds under which that share of calls stayed; None without calls."""
        wanted = share * self.buckets.total()
        for number in sorted(self.buckets):
            wanted -= self.buckets[number]
            if wanted <= 0:
                return round(value(number), 6)
        return None


class Tally:
    """Counts of rows by how they ended; `requests` are those that went out."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.rows = 0
        self.ok = self.failed = self.refused = 0
        self.cached = self.deduplicated = self.resumed = self.requests = 0
        self.input_tokens = self.output_tokens = self.cached_tokens = self.reasoning_tokens = 0
        self.cost = self.saved = self.unpriced = 0
        self.changed = 0
        """Rows sent again since their request is another than in the last run."""
        self.latencies = Latencies()
        self.durable = 0

    @property
    def finished(self) -> int:
        return self.ok + self.failed + self.refused

    @property
    def pending(self) -> int:
        return max(0, self.rows - self.finished)

    def count(self, kind: str) -> None:
        """A row that ended as the journal's letter says."""
        if kind == "o":
            self.ok += 1
        elif kind == "f":
            self.failed += 1
        else:
            self.refused += 1

    def add(self, done: Ended) -> None:
        """A row that was asked in this run."""
        self.count(done.kind)
        self.spend(done.requests, done.cost)
        if done.cached:
            self.saved += done.saved
            self.cached += done.cached != "shared"
            self.deduplicated += done.cached == "shared"
        if done.latency is not None:
            self.latencies.add(done.latency)
        asked, said, cached, thought = done.tokens
        self.input_tokens += asked
        self.output_tokens += said
        self.cached_tokens += cached
        self.reasoning_tokens += thought

    def spend(self, requests: int, cost: Nanos | None) -> None:
        """Requests and money, also of a row that did not end."""
        self.requests += requests
        self.cost += cost or 0
        self.unpriced += cost is None

    def envelope(self) -> dict[str, Any]:
        """The summary's fields; money in USD, times in seconds."""
        wall = time.monotonic() - self.started
        return {
            "rows": self.rows,
            "ok": self.ok,
            "failed": self.failed,
            "refused": self.refused,
            "pending": self.pending,
            "cached": self.cached,
            "deduplicated": self.deduplicated,
            "resumed": self.resumed,
            "changed": self.changed,
            "requests": self.requests,
            "usage": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cached_tokens": self.cached_tokens,
                "reasoning_tokens": self.reasoning_tokens,
            },
            "cost_usd": to_usd(self.cost),
            "unpriced": self.unpriced,
            "saved_usd": to_usd(self.saved),
            "wall_s": round(wall, 3),
            "rows_per_s": round((self.finished - self.resumed) / wall, 3) if wall > 0 else 0.0,
            "latency_s": {f"p{share}": self.latencies.percentile(share / 100) for share in (50, 95, 99)},
        }
