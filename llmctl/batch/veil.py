"""Keeps what a profile redacts out of the journal, and puts it back into what the batch writes.

An answer comes out of the pipeline with the values in their places. On its way into the journal they
become placeholders again; at the end the input row tells which value each placeholder stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from llmctl.batch.outputs import SEAL, SEALED, is_labelled, render, seal_of
from llmctl.batch.rows import Row
from llmctl.batch.strict import RowError
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
        payload = render(self.label(row), outcome, openai)
        answer = outcome if isinstance(outcome, Response) else outcome.response
        if answer is None or answer.redactor is None:
            return payload
        return b'%b%b%b"}' % (payload[:-1], SEALED, self.seal)

    def label(self, row: Row) -> Row:
        """The row as the journal may know it: without an id, and an error, that say too much."""
        if not (row.own_id or row.error is not None):
            return row
        from llmctl.privacy.detect import detector

        find = detector(self.rule).find
        if row.own_id and find(row.id):
            row = row._replace(id=f"row {row.number}")
        if row.error is not None and find(row.error.message):
            row = row._replace(error=self._plain(row, row.error))
        return row

    def _plain(self, row: Row, error: RowError) -> RowError:
        from llmctl.privacy.redact import Redactor

        redact = Redactor(self.rule).redact
        _, _, problem = error.message.partition(": ")
        return RowError(row.line, redact(problem), redact(error.hint))

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
