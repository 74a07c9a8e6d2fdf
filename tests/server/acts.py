"""What the faults do, where that takes more than a line. Each changes an answer, a reply or a wire."""

from __future__ import annotations

import gzip
import math
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import orjson

from .answer import Answer, Event, Failure, Json, Kind, ToolCall, Usage, words
from .wire import SETTLE, STALL, End, Framing, Pause, Reply, Step, Wire

RESET: tuple[Step, ...] = (SETTLE, End.RESET)
CLOSE: tuple[Step, ...] = (End.CLOSE,)
HANG: tuple[Step, ...] = (STALL,)

HTML = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>\n"
BIG_WORD = "lorem" * 12_800 + " "  # a 64 KB event in a stream


class Unfit(Exception):
    """The fault makes no sense for this request: the test is wrong, and is told so."""


# --- what the answer says


def big(answer: Answer, size: int) -> None:
    """A text of about `size` bytes."""
    answer.say(BIG_WORD * (size // len(BIG_WORD) + 1))


def say_words(answer: Answer, count: int) -> None:
    """A text of so many words: w0 w1 w2 …"""
    answer.say(" ".join(f"w{index}" for index in range(count)))


def no_content(answer: Answer) -> None:
    """Neither text nor tool calls."""
    answer.text, answer.tool_calls, answer.finish = None, [], "stop"


def no_choices(answer: Answer) -> None:
    """A list of zero answers."""
    answer.choices = False


def set_finish(answer: Answer, reason: str | None) -> None:
    """Another finish reason, in OpenAI's words where they have one; None leaves it out."""
    answer.finish = reason


def set_model(answer: Answer, model: str) -> None:
    """Another model answers than was asked."""
    answer.model = model


def set_service(answer: Answer, tier: str) -> None:
    """The service tier that it was served at, where the format names one."""
    answer.service = tier


def think(answer: Answer, text: str) -> None:
    """Reasoning before the answer, counted in its output."""
    answer.thinking = text
    answer.billed.reasoning_tokens = words(answer.thinking)
    answer.billed.output_tokens += answer.billed.reasoning_tokens


def call_tool(answer: Answer, call: Json) -> None:
    """Call a tool; `arguments` may be text that is no JSON."""
    given = call.get("arguments", {})
    text = given if isinstance(given, str) else orjson.dumps(given).decode()
    answer.text, answer.tool_calls, answer.finish = None, [ToolCall(call["name"], text)], "tool_calls"
    answer.billed.output_tokens = words(text)


def charge(answer: Answer, counts: Json) -> None:
    """Tell and bill these counts; the ones not given stay."""
    for name, value in counts.items():
        if name not in Usage.__dataclass_fields__:
            raise Unfit(f"usage has no {name}; it has {', '.join(Usage.__dataclass_fields__)}")
        setattr(answer.billed, name, value)


def tell_usage(answer: Answer, usage: Usage | None) -> None:
    """Tell these counts, or none, and bill the true ones."""
    answer.usage = usage


def tell_raw_usage(answer: Answer, raw: Json) -> None:
    """Tell this object as it is, whatever the provider's format."""
    answer.raw_usage = raw


def tell_usage_with_finish(answer: Answer) -> None:
    """The usage of an OpenAI stream comes with its finish reason, asked for or not, as mistral does it."""
    answer.usage_with_finish = True


# --- status, headers and body


def fail(reply: Reply, kind: Kind) -> None:
    """The provider's own error of that kind."""
    reply.fail(Failure(0, kind))


def refuse(reply: Reply) -> None:
    """A 429, unless another error has been chosen."""
    if reply.status < 400:
        reply.fail(Failure(429, "rate"))


def retry_after(reply: Reply, text: str) -> None:
    """`Retry-After` as given: seconds, or nonsense."""
    refuse(reply)
    reply.headers["Retry-After"] = text


def retry_after_date(reply: Reply, seconds: float) -> None:
    """`Retry-After` as the date so many seconds from now; HTTP's dates are whole seconds: rounded up."""
    retry_after(reply, formatdate(math.ceil(time.time() + seconds), usegmt=True))


def retry_after_ms(reply: Reply, text: str) -> None:
    """`retry-after-ms`, as OpenAI and Azure send."""
    refuse(reply)
    reply.headers["retry-after-ms"] = text


def ratelimit_reset(reply: Reply, text: str) -> None:
    """`x-ratelimit-reset-requests` as given: `6m0s`, `1s`, `20ms`."""
    refuse(reply)
    reply.headers["x-ratelimit-reset-requests"] = text


def ratelimit_reset_at(reply: Reply, seconds: float) -> None:
    """The reset so many seconds from now in RFC 3339, in OpenAI's header and in Anthropic's."""
    moment = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat(timespec="milliseconds")
    ratelimit_reset(reply, moment.replace("+00:00", "Z"))
    reply.headers["anthropic-ratelimit-requests-reset"] = moment.replace("+00:00", "Z")


def retry_info(reply: Reply, seconds: float) -> None:
    """Gemini's way to say when to come back: in the body."""
    refuse(reply)
    told = orjson.loads(reply.body)
    if not isinstance(told.get("error"), dict) or "status" not in told["error"]:
        raise Unfit("retry_info is Gemini's")
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}
    told["error"].setdefault("details", []).append(info)
    reply.body = orjson.dumps(told)


def ratelimit(reply: Reply, text: str) -> None:
    """`remaining/limit/reset` of the requests, in OpenAI's headers and Anthropic's, on any reply."""
    remaining, limit, reset = text.split("/", 2)
    for prefix, suffix in (("x-ratelimit-", "-requests"), ("anthropic-ratelimit-requests-", "")):
        reply.headers |= {
            f"{prefix}remaining{suffix}": remaining,
            f"{prefix}limit{suffix}": limit,
            f"{prefix}reset{suffix}": reset,
        }


def echo_key(reply: Reply) -> None:
    """A 401 whose message repeats the key and the prompt, as careless gateways do."""
    reply.fail(Failure(401, "key", f"key {reply.ask.key} is not valid; your request was: {reply.ask.text}"))


def error_in_200(reply: Reply, kind: Kind) -> None:
    """The provider's error body under a status of 200."""
    fail(reply, kind)
    reply.status = 200


def redirect(reply: Reply, text: str) -> None:
    """`URL` or `STATUS URL`."""
    status, _, url = text.rpartition(" ")
    reply.replace(b"")
    reply.status = int(status or 307)
    reply.headers["Location"] = url


def not_utf8(reply: Reply) -> None:
    """Bytes inside the text that are no UTF-8 (never billed: no client can read it)."""
    bad = b"\xff\xfe\xfa"
    reply.edit(lambda body: body.replace(b"echo", b"ec" + bad + b"ho") if b"echo" in body else bad + body)
    reply.billed = None


def zip_body(reply: Reply, spoil: str = "") -> None:
    """`Content-Encoding: gzip`; `cut` in half, with wrong bytes (`broken`), or not zipped at all (`lie`)."""
    whole = reply.whole()
    zipped = whole if spoil == "lie" else gzip.compress(whole, mtime=0)
    middle = len(zipped) // 2
    if spoil == "cut":
        zipped = half(zipped)
    elif spoil == "broken":
        zipped = (
            zipped[:middle]
            + bytes(byte ^ 0xFF for byte in zipped[middle : middle + 8])
            + zipped[middle + 8 :]
        )
    reply.edit(lambda _: zipped)
    reply.headers["Content-Encoding"] = "gzip"
    if spoil:
        reply.billed = None


def half(body: bytes) -> bytes:
    """The first half."""
    return body[: len(body) // 2]


def set_framing(reply: Reply, framing: Framing) -> None:
    """How the end of the body is told."""
    reply.framing = framing


def misstate(reply: Reply, by: int, ending: tuple[Step, ...] = ()) -> None:
    """A Content-Length that is off by so many bytes; a stream gets one too."""
    reply.framing, reply.length_lie, reply.ending = "length", by, ending


# --- streams


def events_of(reply: Reply) -> list[Event]:
    """The events; an error has none."""
    if reply.events is None:
        raise Unfit("this fault needs a streamed answer")
    return reply.events


def drop_finish(reply: Reply) -> None:
    """Leave out everything after the last word; the stream itself ends cleanly."""
    reply.events = [event for event in events_of(reply) if event.kind not in ("finish", "usage", "end")]


def break_off(reply: Reply, after: int, ending: tuple[Step, ...] = ()) -> None:
    """End the stream after so many words of text."""
    events = events_of(reply)
    texts = [index for index, event in enumerate(events) if event.kind == "text"]
    if after >= len(texts):
        raise Unfit(f"the stream has {len(texts)} words, none is left after {after}")
    reply.events = events[: texts[after]]
    reply.ending = ending


def break_event(reply: Reply, after: int) -> None:
    """After so many words an event that is cut JSON; the stream then goes on to its normal end."""
    events = events_of(reply)
    broken = [index for index, event in enumerate(events) if event.kind == "text"][after]
    data = events[broken].data
    tail = data[len(data.rstrip()) :]  # the white space that ends an event stays
    events[broken] = Event(data[: len(data) // 2] + tail, "error")


def error_event(reply: Reply, kind: Kind) -> None:
    """After two words the provider's error as an event; nothing follows."""
    break_off(reply, 2)
    _, told = reply.format.error(reply.ask, Failure(0, kind))
    events_of(reply).append(Event(reply.format.frame(told), "error"))


def crlf_events(reply: Reply) -> None:
    """The same events with CRLF for line ends."""
    for event in events_of(reply):
        event.data = event.data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def comment_events(reply: Reply) -> None:
    """Comment lines between the events, as gateways send to keep a stream alive."""
    for event in events_of(reply):
        event.data = b": still here\n\n" + event.data


# --- the socket


def cut(wire: Wire, ending: tuple[Step, ...]) -> None:
    """The head and half the body, then the ending."""
    wire.steps = [*wire.first_half(), *ending]


def instead(wire: Wire, steps: tuple[Step, ...]) -> None:
    """These steps and nothing else."""
    wire.steps = list(steps)


def delay(wire: Wire, seconds: float) -> None:
    """A pause before the head."""
    wire.steps.insert(0, Pause(seconds))


def delay_body(wire: Wire, seconds: float) -> None:
    """A pause between the head and the body."""
    wire.steps.insert(1, Pause(seconds))


def spread(wire: Wire, seconds: float) -> None:
    """A pause before each event."""
    head, *parts = wire.steps
    wire.steps = [head, *(step for part in parts for step in (Pause(seconds), part))]


def trickle(wire: Wire, seconds: float) -> None:
    """The body a byte at a time."""
    head, *parts = wire.steps
    wire.steps = [head]
    for part in parts:
        single: list[Any] = [part[i : i + 1] for i in range(len(part))] if isinstance(part, bytes) else [part]
        wire.steps += [step for byte in single for step in (byte, Pause(seconds))]


def bad_chunk(wire: Wire) -> None:
    """A chunked body whose second chunk has no valid size."""
    head, *parts = wire.steps
    body = b"".join(part for part in parts if isinstance(part, bytes))[:20]
    wire.steps = [head, b"%x\r\n%b\r\nzz\r\n" % (len(body), body), End.CLOSE]
