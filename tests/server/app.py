"""The walk of a request: format, script, faults, wire; and the addresses that control it all."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import orjson

from .answer import Answer, Ask, Failure, Refused
from .faults import Spec, Unfit
from .formats import Format, format_of
from .http import Connection
from .limit import Limit
from .log import Entry, Log
from .request import Request
from .script import Script
from .wire import Pause, Reply, Step, Wire

_BLANK = Ask()


@dataclass(slots=True)
class Exchange:
    """A request being answered, and where that is written down."""

    steps: list[Step]
    ends: bool
    whole: bool = True  # nothing was cut off
    log: Log | None = None
    entry: Entry | None = None
    limits: Limit | None = None  # under which it counts

    def finished(self, *, played: bool) -> None:
        if self.limits:
            self.limits.leave()
        if self.log:
            self.log.ended(self.entry, done=played and self.whole)


class App:
    """The server's state: a script and a log."""

    def __init__(self, *, keep_log: bool) -> None:
        self.script = Script({})
        self.log = Log(keep=keep_log)

    def answer(self, request: Request, connection: Connection) -> Exchange:
        """What to do to the socket for this request."""
        ends = request.headers.get("connection", "").lower() == "close"
        if request.path.startswith("/_"):
            wire = Wire.of(self._control(request))
            return Exchange(wire.steps, ends)
        if not connection.counted:
            connection.counted = True
            self.log.connections += 1
        form = format_of(request)
        try:
            ask = form.read(request)
            limits = self.script.limits
            if limits and ask.fixed is None and not limits.admits():
                return self._exchange(request, _reply(ask, form, limits.refusal), limits.refusal, ends, 0.0)
            spec = self.script.pick(ask)
            exchange = self._exchange(request, _reply(ask, form, spec), spec, ends, self.script.latency)
            exchange.limits = limits
            return exchange
        except Refused as refused:
            failure = refused.failure
        except Unfit as unfit:
            failure = Failure(500, message=f"test server: {unfit}")
        except Exception as error:  # noqa: BLE001 - a mistake of ours must be read by the test, not look like a reset
            failure = Failure(500, message=f"test server: {error!r}")
        return self._exchange(request, Reply.failed(_BLANK, form, failure), None, ends, self.script.latency)

    def _exchange(
        self, request: Request, reply: Reply, spec: Spec | None, ends: bool, latency: float
    ) -> Exchange:
        if self.script.headers:
            reply.headers |= self.script.headers
        wire = Wire.of(reply)
        size = wire.size()
        if spec:
            spec.apply(wire)
        steps = wire.steps
        silent = not any(isinstance(step, bytes) for step in steps)
        if latency:
            steps = [Pause(latency), *steps]
        status = "none" if silent else str(reply.status)
        entry = self.log.began(request, status, spec.text if spec else None, reply.billed)
        whole = not reply.ending and wire.size() >= size
        return Exchange(steps, ends or wire.ends, whole, self.log, entry)

    def _control(self, request: Request) -> Reply:
        reply = Reply(_BLANK, format_of(request))
        try:
            told: Any = self._command(request)
        except Refused as refused:
            reply.status, told = refused.failure.status, {"error": str(refused)}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reply.status, told = 400, {"error": f"not a script: {error!r}"}
        reply.body = orjson.dumps(told)
        return reply

    def _command(self, request: Request) -> Any:
        match request.method, request.path:
            case "POST", "/_script":
                self.script = Script(request.json_object())
                return {"ok": True}
            case "POST", "/_reset":
                self.script = Script({})
                self.log = Log(keep=self.log.keep)
                return {"ok": True}
            case "GET", "/_log":
                return self.log.since(int(request.query.get("since", 0)))
            case "GET", "/_stats":
                return self.log.stats()
        known = ["/_script", "/_reset", "/_log", "/_stats"]
        near = difflib.get_close_matches(request.path, known, 1, 0)[0]
        raise Refused(Failure(404, message=f"no {request.method} {request.path}; did you mean {near}?"))


def _reply(ask: Ask, form: Format, spec: Spec | None) -> Reply:
    """The answer in the provider's format with its faults; raises `Unfit`."""
    if spec:
        spec.check(ask)
    answer = Answer.to(ask)
    if spec:
        spec.apply(answer)
    reply = Reply.of(ask, form, answer)
    if spec:
        spec.apply(reply)
    return reply
