"""What the processes of a batch tell each other: frames of JSON with a record behind it.

A frame is its length in four bytes, a line of JSON, and the record's bytes if there are any. Nothing
is pickled, and a frame that is cut is the end of the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from llmctl.batch.ended import Ended, Stopped
from llmctl.batch.rows import Row
from llmctl.core import errors
from llmctl.core.errors import LlmctlError

if TYPE_CHECKING:
    from asyncio import StreamReader

LENGTH = 4


class Frame(NamedTuple):
    """`fields` as they were packed; `record` empty where none was."""

    fields: dict[str, Any]
    record: bytes


def pack(fields: dict[str, Any], record: bytes = b"") -> bytes:
    body = orjson.dumps(fields) + b"\n" + record
    return len(body).to_bytes(LENGTH, "big") + body


async def read(stream: StreamReader) -> Frame | None:
    """The next frame; None at the end, also where the other side died in the middle of one."""
    try:
        size = int.from_bytes(await stream.readexactly(LENGTH), "big")
        head, _, record = (await stream.readexactly(size)).partition(b"\n")
    except (EOFError, ConnectionError):  # asyncio's IncompleteReadError is an EOFError
        return None
    return Frame(orjson.loads(head), record)


def of_row(row: Row) -> bytes:
    """A row that can be asked, for a worker."""
    return pack({"row": row[:-1]})


def row_of(frame: Frame) -> Row:
    return Row(*frame.fields["row"])


def of_ended(number: int, ended: Ended) -> bytes:
    kind, payload, *rest = ended
    return pack({"n": number, "ended": [kind, *rest]}, payload)


def of_stopped(number: int, stopped: Stopped) -> bytes:
    return pack({"n": number, "stopped": told(stopped.why), "spent": [stopped.requests, stopped.cost]})


def told(why: LlmctlError) -> dict[str, Any]:
    """An error for the other side, which makes one of the same kind of it."""
    return {
        "type": type(why).__name__, "message": why.message, "hint": why.hint, "status": why.status,
        "retry_after": why.retry_after, "exit_code": why.exit_code,
    }  # fmt: skip


def result_of(frame: Frame) -> Ended:
    """How the row ended. Stopped where it did not."""
    if "ended" in frame.fields:
        kind, requests, cost, cached, saved, latency, tokens = frame.fields["ended"]
        return Ended(kind, frame.record, requests, cost, cached, saved, latency, tuple(tokens))
    raise Stopped(error_of(frame.fields["stopped"]), *frame.fields["spent"])


def error_of(told: dict[str, Any]) -> LlmctlError:
    """The error that was told; a plain LlmctlError where its kind is none of `core.errors`."""
    kind: type[LlmctlError] = getattr(errors, told["type"], LlmctlError)
    error = kind.__new__(kind)  # some kinds are made of other parts, which are in the message by now
    LlmctlError.__init__(
        error, told["message"], hint=told["hint"], status=told["status"], retry_after=told["retry_after"]
    )
    error.exit_code = told["exit_code"]
    return error
