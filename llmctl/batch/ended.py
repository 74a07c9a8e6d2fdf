"""How one row ended: its record for the journal and what it adds to the sums, in whatever process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from llmctl.batch.job import Composer, Job
from llmctl.batch.outputs import cost_of, kind_of, render
from llmctl.batch.rows import Row
from llmctl.core.errors import (
    AccountError,
    BreakerOpen,
    BudgetError,
    ForbiddenAddress,
    Interrupted,
    LlmctlError,
    StorageError,
)
from llmctl.core.model import Request, Response, Send
from llmctl.core.money import Nanos

STOPS = (AccountError, BudgetError, BreakerOpen, StorageError, ForbiddenAddress, Interrupted)
"""What no other row would survive either: nothing more is sent, the rest stays pending."""


class Ended(NamedTuple):
    """`kind` is the journal's letter, `payload` the record; tokens are input, output, cached, reasoning."""

    kind: str
    payload: bytes
    requests: int = 0
    cost: Nanos | None = 0
    cached: str | None = None
    saved: Nanos = 0
    latency: float | None = None
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)


class Stopped(Exception):
    """A row that stays pending, since of what it met nothing more is to be sent."""

    def __init__(self, why: LlmctlError, requests: int, cost: Nanos | None) -> None:
        super().__init__(why.message)
        self.why = why
        self.requests = requests
        self.cost = cost


Ask = Callable[[Row, Request], Awaitable[Ended]]
"""Asks a row's request to its end. Stopped where it has none."""


def ask_with(send: Send, job: Job, composer: Composer, on_bug: Callable[[Exception], None]) -> Ask:
    """Through a pipeline of this process; `on_bug` hears of a fault of our own, which fails the row."""

    def failed(error: Exception) -> LlmctlError:
        on_bug(error)
        return own_fault(error)

    async def ask(row: Row, request: Request) -> Ended:
        outcome: Response | LlmctlError
        try:
            outcome = await send(request)
        except STOPS as error:
            if not (isinstance(error, BudgetError) and is_own(row, error)):
                raise Stopped(error, len(error.tried), cost_of(error)) from None
            outcome = error
        except LlmctlError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001  # our own fault with one row must not end the others
            outcome = failed(error)
        try:
            return ended(job, composer, row, outcome, request)
        except Exception as error:  # noqa: BLE001  # nor must an answer that cannot be written down
            bug = failed(error)
            bug.tried = outcome.tried  # it was paid for all the same
            return ended(job, composer, row, bug, request)

    return ask


def own_fault(error: Exception) -> LlmctlError:
    """What a row fails with that met a bug."""
    return LlmctlError(f"a bug in llmctl: {type(error).__name__}")


def ended(
    job: Job,
    composer: Composer,
    row: Row,
    outcome: Response | LlmctlError,
    request: Request | None = None,
) -> Ended:
    """`request` None: the row was never asked."""
    kind, cost = kind_of(outcome), cost_of(outcome)
    requests, answer = len(outcome.tried), outcome if isinstance(outcome, Response) else outcome.response
    if composer.veil is None:
        payload = render(row, outcome, job.openai(row))
    else:
        payload = composer.veil.rendered(row, outcome, job.openai(row), request)
    if answer is None:
        return Ended(kind, payload, requests, cost)
    if answer.cached:
        return Ended(kind, payload, requests, cost, answer.cached, answer.saved or 0)
    usage, latency = answer.usage, answer.latency if isinstance(outcome, Response) else None
    tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    return Ended(kind, payload, requests, cost, None, 0, latency, tokens)


def is_own(row: Row, error: BudgetError) -> bool:
    """Whether a budget refuses the row for what it says itself, a tag or a model: others may fit."""
    return (row.tag is not None and "tag" in error.narrow) or (
        row.model is not None and not error.narrow.isdisjoint(("model", "provider"))
    )
