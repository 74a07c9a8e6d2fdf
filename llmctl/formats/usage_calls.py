"""The ledger's calls, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from llmctl.formats.report import Column, Row, Shown, Table
from llmctl.formats.usage import money, named, seconds
from llmctl.usage import times
from llmctl.usage.calls import Call
from llmctl.usage.report import Query

COLUMNS = (
    Column("time", key="at", whole=True),
    Column("status"),
    Column("model"),
    Column("tag", extra=3),
    Column("profile", extra=5),
    Column("run", key="run_id", extra=6),
    Column("input", "right", "input_tokens", extra=2),
    Column("output", "right", "output_tokens", extra=2),
    Column("cost", "right", "cost_usd"),
    Column("saved", "right", "saved_usd", extra=4),
    Column("took", "right", "latency_s", extra=1),
    Column("ttft", "right", "ttft_s", extra=7),
)

MORE = tuple(
    Column(name)
    for name in (
        *("provider", "asked", "template", "error", "finish_reason", "cached", "billed", "attempts"),
        *("cached_tokens", "reasoning_tokens", "estimated"),
    )
)
"""What only programs read."""


def table(found: Sequence[Call], tz: str | None) -> Table:
    """A line for each call."""
    where = times.zone(tz)
    return Table("", COLUMNS, [_call(call, where) for call in found], note="" if found else "no calls")


def write_csv(found: Iterable[Call], tz: str | None, stream: TextIO) -> None:
    """The same for programs, call by call."""
    from llmctl.formats.csv import write_rows

    where = times.zone(tz)
    write_rows((*COLUMNS, *MORE), ((*_call(call, where), *_more(call)) for call in found), stream)


def _call(call: Call, where: times.Zone) -> Row:
    at = times.iso(call.at, where)
    status = call.error or f"cached ({call.hit})" if call.error or call.hit else call.status
    return [
        Shown(at, at[:19].replace("T", " ")),
        Shown(call.status, status),
        call.model,
        named(call.tag),
        call.profile,
        call.run,
        call.input_tokens,
        call.output_tokens,
        money(call.cost, call.cost is None),
        money(call.saved, call.saved is None),
        seconds(call.latency),
        seconds(call.ttft),
    ]


def _more(call: Call) -> Row:
    return [
        call.provider, call.asked, call.template, call.error, call.finish, call.hit, call.billed,
        call.attempts, call.cached_tokens, call.reasoning_tokens, call.estimated,
    ]  # fmt: skip


def write_json(found: Iterable[Call], query: Query, stream: TextIO) -> None:
    """The object of `usage --calls --json`, call by call."""
    import orjson

    from llmctl.formats.envelope import json_line

    where = times.zone(query.tz)
    since, until = (None if at is None else times.iso(at, where) for at in (query.since, query.until))
    head, end = json_line({"since": since, "until": until, "calls": []}).split("[]")
    stream.write(f"{head}[")
    for number, call in enumerate(found):
        stream.write(("," if number else "") + orjson.dumps(call.envelope(where)).decode())
    stream.write(f"]{end}")
