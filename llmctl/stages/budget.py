"""Sets the money for an attempt aside before it is sent, and settles with what it really cost.

An attempt that may have been billed keeps what was set aside for it; one that surely was not gives
it back. So what is spent and what is reserved never pass a limit together, across all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmctl.core.errors import LlmctlError
from llmctl.core.model import Attempt, Request, Response, Send, later, replace
from llmctl.core.money import Nanos

if TYPE_CHECKING:
    from llmctl.usage.desk import Desk


def budget(next: Send, desk: Desk | None, most: Callable[[Request], Nanos]) -> Send:
    """Without a desk `next` itself. `most` is the upper limit of an attempt's cost; 0 always fits.

    Raises BudgetError where a limit would be passed, or where there is no upper limit.
    """
    if desk is None:
        return next

    async def send(request: Request) -> Response:
        if not desk.counts(request):
            return await next(request)
        amount = most(request)
        if amount == 0:
            return await next(request)
        held, waited = await desk.reserve(request, amount)
        if waited:
            request = later(request, waited)
        try:
            response = await next(replace(request, reserved=amount, on_sent=lambda: desk.sent(held)))
        except LlmctlError as error:
            error.waited += waited
            desk.settle(held, spent(error.tried, amount) if held.sent else 0)
            raise
        except BaseException:  # cancelled or interrupted: what went out may be billed
            desk.settle(held, amount if held.sent else 0)
            raise
        desk.settle(held, spent(response.tried, amount))
        return response

    return send


def spent(tried: Sequence[Attempt], reserved: Nanos) -> Nanos:
    """What the attempts cost; all that was reserved where that is not known."""
    costs = [attempt.cost for attempt in tried]
    if not costs or None in costs:
        return reserved
    return sum(cost for cost in costs if cost is not None)
