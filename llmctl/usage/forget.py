"""Takes out of the ledger what could tell of a person: hashes of questions and answers, and tags.

Times, models, tokens and money stay, so that reports and budgets are as right as before.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from llmctl.usage.rollup import REBUILD
from llmctl.usage.schema import connect, fault, reading


@dataclass(frozen=True, slots=True)
class Tagged:
    """The runs that asked with a tag, and their questions' hashes (`request_hash`)."""

    runs: frozenset[str] = frozenset()
    requests: frozenset[str] = frozenset()


def tagged(path: Path, tag: str) -> Tagged:
    """What the ledger knows of a tag. StorageError where it cannot be read."""
    if not path.exists():
        return Tagged()
    with reading(path) as db:
        runs = db.execute("SELECT DISTINCT run FROM calls WHERE tag = ?", (tag,)).fetchall()
        hashes = db.execute("SELECT DISTINCT request_hash FROM calls WHERE tag = ?", (tag,)).fetchall()
    return Tagged(frozenset(run for (run,) in runs), frozenset(name for (name,) in hashes if name))


def forget(path: Path, *, before: float | None = None, tag: str | None = None) -> int:
    """Of calls that began before then, or that have the tag; of all where neither is given. Says how many.

    Tags of calls that are only old stay. StorageError where the ledger cannot be changed.
    """
    if not path.exists():
        return 0
    db = connect(path)
    try:
        db.execute("PRAGMA secure_delete = ON")  # what is written over is gone from the file too
        db.execute("BEGIN IMMEDIATE")
        if before is not None:
            gone = db.execute(f"{HASHES} WHERE at < ?", (before,)).rowcount
        else:
            gone = db.execute(f"{HASHES}, tag = NULL WHERE ? IS NULL OR tag = ?", (tag, tag)).rowcount
            db.execute("UPDATE attempts SET tag = NULL WHERE ? IS NULL OR tag = ?", (tag, tag))
            for statement in REBUILD.split(";"):
                db.execute(statement)
            db.execute("DELETE FROM kinds WHERE id NOT IN (SELECT kind FROM slots)")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone
    except sqlite3.Error as error:
        raise fault(path, error) from None
    finally:
        db.close()


HASHES = "UPDATE calls SET request_hash = '', answer_hash = NULL"
