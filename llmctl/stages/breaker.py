"""Asks nothing of a provider that is known to be down, but for one probe after each cooldown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llmctl.core.errors import BreakerOpen, LlmctlError
from llmctl.core.model import Request, Response, Send, later, replace
from llmctl.core.ports import Clock

if TYPE_CHECKING:
    from llmctl.resilience.circuit import Circuit, Circuits


def breaker(next: Send, circuits: Circuits, clock: Clock, patient: bool) -> Send:
    """Raises BreakerOpen in the place of a request that would only fail.

    `patient` calls (those of a batch) wait for the probe where their deadline allows and no other
    model can answer in their place; others are refused at once.
    """

    async def send(request: Request) -> Response:
        circuit = circuits.of(request.target)
        while True:
            wait = circuit.ask()
            probe = wait is not None and await _wait(request, circuit, wait, clock, patient)
            try:
                response = await next(replace(request, probe=True) if probe else request)
            except BreakerOpen as opened:  # while the request waited for its turn: nothing was sent
                request = later(request, opened.waited)
            except LlmctlError as error:
                circuit.ended(error, probe=probe)
                raise
            except BaseException:  # cancelled or interrupted: whether the provider is back is not known
                if probe:
                    circuit.give_up_probe()
                raise
            else:
                circuit.went_well()
                return response

    return send


async def _wait(request: Request, circuit: Circuit, wait: float | None, clock: Clock, patient: bool) -> bool:
    """Whether the request is the probe, once it may go; `wait` is what the circuit said first."""
    while wait:
        left = 0.0 if request.deadline is None else request.deadline - time.monotonic()
        if not patient or request.stand_in or wait >= left:
            raise circuit.refusal(wait)
        await clock.sleep(wait)
        wait = circuit.ask()
    return wait is not None
