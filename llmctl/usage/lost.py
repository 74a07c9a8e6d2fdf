"""Calls that went out and were never heard of again: their process died before it could say."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmctl.usage.report import Query

DAY_S = 86400.0
"""No call takes so long: whatever process has the number now, it is another one."""


@dataclass(frozen=True, slots=True)
class Lost:
    """One such call: `cost` in nano-dollars is what its settled attempts are known to have cost."""

    call: int
    at: float
    run: str
    profile: str
    model: str
    provider: str
    tag: str
    attempts: int
    cost: int
    status: str = "lost"


def calls(db: sqlite3.Connection, query: Query, now: float) -> list[Lost]:
    """The lost calls of a query, oldest first."""
    conditions = "".join(f" AND coalesce({name}, '') = ?" for name in query.filters)
    sql = f"""
        SELECT call, min(at), run, profile, model, provider, coalesce(tag, ''), count(*),
            coalesce(sum(cost), 0), max(pid) FILTER (WHERE state = 'sent')
        FROM attempts
        WHERE state <> 'ok' AND call IN (SELECT call FROM attempts WHERE state = 'sent')
            AND NOT EXISTS (SELECT 1 FROM calls WHERE id = attempts.call) {conditions}
        GROUP BY call HAVING min(at) >= ? AND min(at) < ? ORDER BY 2
    """  # noqa: S608  # our own names
    rows = db.execute(sql, (*query.filters.values(), *query.window))
    return [Lost(*row[:-1]) for row in rows if now - row[1] > DAY_S or not alive(row[-1])]


def alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
