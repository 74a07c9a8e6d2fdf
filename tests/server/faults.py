"""The table of faults.

A spec is `name` or `name:argument`; several work together joined by `+`, as in `delay:0.1+status:500`.
(A `+` that no fault's name follows belongs to the argument; a JSON list of single specs is never split.)
Faults of the answer work first, then those of the reply, then those of the wire; within one level in the
written order. The numbers in the table are the rows of the project's list of faults.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import orjson

from . import acts
from .acts import CLOSE, HANG, RESET, Unfit
from .answer import Answer, Ask, Failure, Kind, Usage, require
from .wire import Reply, Wire

__all__ = ["FAULTS", "Fault", "Spec", "Unfit", "parse"]

A = TypeVar("A")
T = TypeVar("T", Answer, Reply, Wire)
KINDS: tuple[str, ...] = get_args(Kind)
Target = type[Answer] | type[Reply] | type[Wire]


@dataclass(frozen=True, slots=True)
class Fault:
    """Changes an answer, a reply or a wire in place."""

    level: Target
    act: Callable[[Any, Any], object]
    read: Callable[[str], Any]  # the argument out of its text; raises ValueError
    default: str | None  # the argument's text where none is given; None: it has to be given
    streamed: bool = False  # for streams only


@dataclass(frozen=True, slots=True)
class Spec:
    """Faults to apply together, each with its argument."""

    text: str
    parts: tuple[tuple[str, Fault, Any], ...]

    def check(self, ask: Ask) -> None:
        """Raise `Unfit` where a fault makes no sense for what is asked."""
        for name, fault, _ in self.parts:
            if fault.streamed and not ask.stream:
                raise Unfit(f"{name} needs a streamed answer")
            if fault.level is Answer and ask.fixed is not None:
                raise Unfit(f"{name} needs a chat request")

    def apply(self, target: Answer | Reply | Wire) -> None:
        """Let the faults of this target's level change it."""
        for _, fault, argument in self.parts:
            if isinstance(target, fault.level):
                fault.act(target, argument)


def parse(given: str | list[str] | None) -> Spec | None:
    """A spec from a script; raises `Refused` with the nearest name where it is none."""
    if not given:
        return None
    texts = _split(given) if isinstance(given, str) else given
    return Spec("+".join(texts), tuple(_part(text) for text in texts))


def _part(text: str) -> tuple[str, Fault, Any]:
    name, colon, argument = text.partition(":")
    near = ", ".join(difflib.get_close_matches(name, FAULTS, 3, 0.4)) or "see faults.py"
    require(name in FAULTS, f"no fault is called '{name}'; near it: {near}")
    fault = FAULTS[name]
    require(colon or fault.default is not None, f"fault '{name}' needs an argument: '{name}:…'")
    try:
        return name, fault, fault.read(argument if colon else fault.default or "")
    except ValueError as error:
        require(False, f"fault '{text}': {error}")
        raise


def _split(text: str) -> list[str]:
    names = "|".join(map(re.escape, FAULTS))
    return re.split(rf"\+(?=(?:{names})(?:[:+]|$))", text)


def on(
    level: type[T],
    act: Callable[[T, A], object],
    read: Callable[[str], A],
    default: str | None = None,
    *,
    streamed: bool = False,
) -> Fault:
    """A fault with an argument."""
    return Fault(level, act, read, default, streamed)


def plain(level: type[T], act: Callable[[T], object], *, streamed: bool = False) -> Fault:
    """A fault without an argument."""
    return Fault(level, lambda target, _: act(target), _nothing, "", streamed)


def _nothing(text: str) -> None:
    if text:
        raise ValueError("it takes no argument")


def an_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    value = orjson.loads(text)
    if not isinstance(value, dict):
        raise ValueError("the argument is no JSON object")
    return value


def a_kind(text: str) -> Any:
    """A kind of error, told in each provider's words."""
    if text not in KINDS:
        raise ValueError(f"kinds are {', '.join(KINDS)}")
    return text


def a_header(text: str) -> tuple[str, str]:
    """`Name=value`"""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("a header is Name=value")
    return name, value


ANSWERS = {
    "answer": on(Answer, Answer.say, str),
    "words": on(Answer, acts.say_words, int),
    "stream_words": on(Answer, acts.say_words, int, streamed=True),
    "thinking": on(Answer, acts.think, str, "hm, let me see"),
    "tool": on(Answer, acts.call_tool, an_object),
    "model": on(Answer, acts.set_model, str),  # 26
    "service": on(Answer, acts.set_service, str),
    # what is missing or too much (8, 19-23, 32)
    "choices_empty": plain(Answer, acts.no_choices),
    "content_null": plain(Answer, acts.no_content),
    "empty_text": plain(Answer, lambda answer: answer.say("")),
    "finish": on(Answer, acts.set_finish, str),
    "finish_missing": plain(Answer, lambda answer: acts.set_finish(answer, None)),
    "stream_done_without_finish": plain(Answer, lambda answer: acts.set_finish(answer, None), streamed=True),
    "big": on(Answer, acts.big, int, "20000000"),
    # usage (24, 25)
    "usage": on(Answer, acts.charge, an_object),
    "cached_tokens": on(Answer, lambda answer, count: acts.charge(answer, {"cached_tokens": count}), int),
    "reasoning_tokens": on(
        Answer, lambda answer, count: acts.charge(answer, {"reasoning_tokens": count}), int
    ),
    "usage_raw": on(Answer, acts.tell_raw_usage, an_object),
    "usage_with_finish": plain(Answer, acts.tell_usage_with_finish, streamed=True),
    "usage_missing": plain(Answer, lambda answer: acts.tell_usage(answer, None)),
    "usage_negative": plain(Answer, lambda answer: acts.tell_usage(answer, Usage(-5, -7))),
    "usage_absurd": plain(Answer, lambda answer: acts.tell_usage(answer, Usage(10**15, 10**15))),
}

REPLIES = {
    # errors in each provider's words (33-44, 50)
    "status": on(Reply, lambda reply, status: reply.fail(Failure(status)), int),
    "error": on(Reply, acts.fail, a_kind),
    "context_too_long": plain(Reply, lambda reply: acts.fail(reply, "context")),
    "content_policy": plain(Reply, lambda reply: acts.fail(reply, "policy")),
    "key_refused": plain(Reply, lambda reply: acts.fail(reply, "key")),
    "permission": plain(Reply, lambda reply: acts.fail(reply, "permission")),
    "balance": plain(Reply, lambda reply: acts.fail(reply, "balance")),
    "quota": plain(Reply, lambda reply: acts.fail(reply, "quota")),
    "spend_limit": plain(Reply, lambda reply: acts.fail(reply, "spend")),
    "model_not_found": plain(Reply, lambda reply: acts.fail(reply, "model")),
    "rate_limited": plain(Reply, lambda reply: acts.fail(reply, "rate")),
    "overloaded": plain(Reply, lambda reply: acts.fail(reply, "overloaded")),
    "error_echoes_key": plain(Reply, acts.echo_key),
    "error_in_200": on(Reply, acts.error_in_200, a_kind, "server"),  # 18
    # when to come back: a 429, or the error chosen beside it (45-49)
    "retry_after": on(Reply, acts.retry_after, str),
    "retry_after_date": on(Reply, acts.retry_after_date, float),
    "retry_after_ms": on(Reply, acts.retry_after_ms, str),
    "ratelimit_reset": on(Reply, acts.ratelimit_reset, str),
    "ratelimit_reset_at": on(Reply, acts.ratelimit_reset_at, float),
    "retry_info": on(Reply, acts.retry_info, float),
    # headers of any reply
    "ratelimit": on(Reply, acts.ratelimit, str),
    "header": on(Reply, lambda reply, pair: reply.headers.update([pair]), a_header),
    # bodies (14-17, 29-31)
    "html": plain(Reply, lambda reply: reply.replace(acts.HTML, "text/html")),
    "cut_json": plain(Reply, lambda reply: reply.edit(acts.half)),
    "empty_body": plain(Reply, lambda reply: reply.replace(b"")),
    "null_body": plain(Reply, lambda reply: reply.replace(b"null")),
    "list_body": plain(Reply, lambda reply: reply.replace(b"[]")),
    "body": on(Reply, lambda reply, text: reply.replace(text.encode()), str),
    "not_utf8": plain(Reply, acts.not_utf8),
    "gzip": plain(Reply, acts.zip_body),
    "gzip_broken": plain(Reply, lambda reply: acts.zip_body(reply, "broken")),
    "gzip_cut": plain(Reply, lambda reply: acts.zip_body(reply, "cut")),
    "gzip_lie": plain(Reply, lambda reply: acts.zip_body(reply, "lie")),
    "redirect": on(Reply, acts.redirect, str),
    # framing (27, 28)
    "content_length_too_large": on(Reply, lambda reply, by: acts.misstate(reply, by, CLOSE), int, "100"),
    "content_length_too_large_stall": on(Reply, lambda reply, by: acts.misstate(reply, by, HANG), int, "100"),
    "content_length_too_small": on(Reply, lambda reply, by: acts.misstate(reply, -by), int, "10"),
    "no_content_length": plain(Reply, lambda reply: acts.set_framing(reply, "close")),
    "chunked": plain(Reply, lambda reply: acts.set_framing(reply, "chunked")),
    # streams: after so many words (6, 7, 9-11)
    "reset_in_stream": on(
        Reply, lambda reply, after: acts.break_off(reply, after, RESET), int, "2", streamed=True
    ),
    "close_in_stream": on(
        Reply, lambda reply, after: acts.break_off(reply, after, CLOSE), int, "2", streamed=True
    ),
    "stream_stall": on(
        Reply, lambda reply, after: acts.break_off(reply, after, HANG), int, "2", streamed=True
    ),
    "stream_malformed": on(Reply, acts.break_event, int, "1", streamed=True),
    "stream_error": on(Reply, acts.error_event, a_kind, "overloaded", streamed=True),
    "stream_without_finish": plain(Reply, acts.drop_finish, streamed=True),
    # streams that are odd but right
    "sse_comments": plain(Reply, acts.comment_events, streamed=True),
    "sse_crlf": plain(Reply, acts.crlf_events, streamed=True),
}

WIRES = {
    # time (11-13)
    "delay": on(Wire, acts.delay, float),
    "first_delay": on(Wire, acts.delay_body, float),
    "stream_pause": on(Wire, acts.spread, float, streamed=True),
    "trickle": on(Wire, acts.trickle, float, "1"),
    "no_headers": plain(Wire, lambda wire: acts.instead(wire, HANG)),
    "stall_in_body": plain(Wire, lambda wire: acts.cut(wire, HANG)),
    # the end of the connection (4, 5)
    "reset_before_headers": plain(Wire, lambda wire: acts.instead(wire, RESET)),
    "close_before_headers": plain(Wire, lambda wire: acts.instead(wire, CLOSE)),
    "reset_in_body": plain(Wire, lambda wire: acts.cut(wire, RESET)),
    "close_in_body": plain(Wire, lambda wire: acts.cut(wire, CLOSE)),
    "close_after": plain(Wire, lambda wire: wire.steps.extend(CLOSE)),
    # what is no HTTP
    "bad_chunk": plain(Wire, acts.bad_chunk),
    "bad_status_line": plain(Wire, lambda wire: acts.instead(wire, (b"SSH-2.0-not-http\r\n", *CLOSE))),
}

FAULTS: dict[str, Fault] = ANSWERS | REPLIES | WIRES
