"""What the server received, and what it would have billed."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

from .answer import Usage
from .request import Request

Entry = dict[str, Any]


class Log:
    """Counts always; an entry for each request unless `keep` is false."""

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.entries: list[Entry] = []
        self.requests = 0
        self.connections = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.times = array("d")
        self.by_status: Counter[str] = Counter()
        self.input_tokens = 0
        self.output_tokens = 0

    def began(self, request: Request, status: str, fault: str | None, billed: Usage | None) -> Entry | None:
        """Count a request as it is answered. It is billed now, whether or not the answer arrives."""
        self.requests += 1
        self.times.append(request.arrived)
        self.by_status[status] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        billed = billed or Usage()
        self.input_tokens += billed.input_tokens
        self.output_tokens += billed.output_tokens
        if not self.keep:
            return None
        entry: Entry = {
            "n": self.requests,
            "t": request.arrived,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "body": request.body,
            "fault": fault,
            "status": status,
            "done": False,
            "billed_tokens": billed.input_tokens + billed.output_tokens,
            "billed": {"input_tokens": billed.input_tokens, "output_tokens": billed.output_tokens},
        }
        self.entries.append(entry)
        return entry

    def ended(self, entry: Entry | None, *, done: bool) -> None:
        """The request is no longer in flight; `done` where its whole response was written."""
        self.in_flight -= 1
        if entry is not None:
            entry["done"] = done

    def since(self, number: int) -> list[Entry]:
        """The entries after that number."""
        return self.entries[number:]

    def stats(self) -> Entry:
        """The counts, with the arrival times in monotonic seconds."""
        return {
            "requests": self.requests,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "by_status": dict(self.by_status),
            "billed": {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens},
            "times": self.times.tolist(),
        }
