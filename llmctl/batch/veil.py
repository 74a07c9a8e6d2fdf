"""Keeps what a profile redacts out of the journal, and puts it back into what the batch writes.

An answer comes out of the pipeline with the values in their places. On its way into the journal they
become placeholders again; at the end the input row tells which value each placeholder stands for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from llmctl.batch.outputs import SEAL, SEALED, is_labelled, render, seal_of
from llmctl.batch.rows import Row
from llmctl.core.canonical import VERSION, canonical, digest
from llmctl.core.errors import LlmctlError
from llmctl.core.model import Request, Response, replace
from llmctl.core.profile import PrivacyRule
from llmctl.stages.redact import asks_json, redacted

if TYPE_CHECKING:
    from llmctl.privacy.redact import Redactor

Change = Callable[..., str]
TEXTS = ("text", "reasoning", "tool_calls", "parsed", "openai", "error")
"""Fields of a record that an answer's words are in."""


class Veil:
    """`requests` makes a row's request anew; `ready` is what is done to one before it is redacted."""

    def __init__(
        self, rule: PrivacyRule, requests: Callable[[Row], Request], ready: Callable[[Request], Request]
    ) -> None:
        self.rule = rule
        self.seal = digest(canonical([VERSION, vars(rule)]))[:SEAL].encode()
        """Stands in every record that something was hidden in: another rule gives other placeholders."""
        self._requests = requests
        self._ready = ready

    def rendered(
        self, row: Row, outcome: Response | LlmctlError, openai: bool, request: Request | None
    ) -> bytes:
        """The row's record for the journal. `request` None: it was never asked."""
        if request is not None:
            outcome = self.down(request, outcome)
        answer = outcome if isinstance(outcome, Response) else outcome.response
        hides = answer is not None and answer.redactor is not None
        if isinstance(outcome, LlmctlError) and not hides:
            self._clear(outcome, asked=request is not None)
        payload = render(self.label(row), outcome, openai)
        return b'%b%b%b"}' % (payload[:-1], SEALED, self.seal) if hides else payload

    def label(self, row: Row) -> Row:
        """The row as the journal may know it: without an id that says too much."""
        if not row.own_id:
            return row
        from llmctl.privacy.detect import detector

        return row._replace(id=f"row {row.number}") if detector(self.rule).find(row.id) else row

    def _clear(self, error: LlmctlError, asked: bool) -> None:
        """Takes out what an error quotes of the row: a field's name, a model's, a parameter's.

        OUT has the placeholders too, since nothing tells what they stood for.
        """
        from llmctl.privacy.redact import Redactor

        kinds = self.rule.redact
        if asked:  # the error may name the server, whose address is no secret
            kinds = tuple(kind for kind in kinds if kind != "ip")
        redact = Redactor(dataclasses.replace(self.rule, redact=kinds)).redact
        error.message, error.hint = redact(error.message), redact(error.hint)

    def down(self, request: Request, outcome: Response | LlmctlError) -> Response | LlmctlError:
        """The outcome with placeholders for what was redacted in the request."""
        answer = outcome if isinstance(outcome, Response) else outcome.response
        if answer is None or answer.redactor is None:
            return outcome
        # With a schema the last of several requests was redacted; the row alone must give the same map.
        redactor = answer.redactor if request.schema is None else self._redactor(request)
        hidden = _changed(answer, redactor.hide, asks_json(request))
        if isinstance(outcome, Response):
            return hidden
        outcome.response = hidden
        outcome.message = redactor.hide(outcome.message)
        return outcome

    def up(self, row: Row, payload: bytes) -> bytes:
        """A record's payload with the row's own id and values."""
        sealed = seal_of(payload) == self.seal
        if not sealed and is_labelled(payload, row):
            return payload
        fields = orjson.loads(payload)
        fields["id"] = row.id
        if sealed:
            del fields["veil"]
            request = self._requests(row)
            redactor = self._redactor(request)
            for name in TEXTS:
                if fields.get(name):
                    fields[name] = _mapped(fields[name], redactor.restore, asks_json(request))
        return orjson.dumps(fields)

    def _redactor(self, request: Request) -> Redactor:
        from llmctl.privacy.redact import Redactor

        redactor = Redactor(self.rule)
        redacted(self._ready(request) if request.schema is not None else request, redactor)
        return redactor


def _changed(answer: Response, change: Change, is_json: bool) -> Response:
    changed = {
        name: _mapped(value, change, is_json)
        for name in ("text", "reasoning", "tool_calls", "parsed", "body")
        if (value := getattr(answer, name))
    }
    return replace(answer, **changed)


def _mapped(value: Any, change: Change, is_json: bool) -> Any:
    """Every text of the value changed; `change` takes `inside_json` for those that are JSON."""
    from llmctl.privacy.rewrite import map_strings

    def plain(text: str) -> str:
        return change(text, inside_json=is_json)

    def inside_json(text: str) -> str:
        return change(text, inside_json=True)

    return map_strings(value, plain, inside_json)
