"""The one layer that retries: exponential back-off with full jitter, the server's word first.

Waits are uniform in [0, min(cap, base × factor^n)] ("full jitter", M. Brooker, AWS Architecture
Blog, 2015) unless the server says how long; a wait that cannot end before the call's deadline is
refused at once, saying when to come back.
"""

from __future__ import annotations

import time

from llmctl.core.errors import ConnectionDropped, LlmctlError, RateLimited, add_tried, tried_of
from llmctl.core.loop import loop
from llmctl.core.model import Attempt, OnText, Request, Response, Send, later, replace
from llmctl.core.money import Nanos
from llmctl.core.ports import Clock, Random
from llmctl.core.profile import RetryRule


class Allowance:
    """How many more retries all calls together may make: a batch rides out a bad hour, and no outage.

    `most` at first; a retry takes one, an answer gives one back, up to `most`. A 429 takes none: who
    sends it is well, and the pace is found by other means. Nor does a kept connection that had ended.
    """

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def take(self) -> bool:
        """Whether there was one left."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        self.left += self.left < self.most


def retry(
    next: Send, rule: RetryRule, clock: Clock, random: Random, allowance: Allowance | None = None
) -> Send:
    """At most `rule.attempts` requests in the call's total time, none once text has been shown.

    Without an allowance each call is on its own.
    """

    async def send(request: Request) -> Response:
        await loop()
        request = replace(request, deadline=time.monotonic() + request.target.timeouts.total)
        call: _Call | None = None
        if request.on_text is not None:
            call = _Call(next, request, rule, random, allowance)
            request = call.request
        try:
            response = await next(request)
        except LlmctlError as error:
            call = call or _Call(next, request, rule, random, allowance)
            call.failed_with(error)
            if not call.worth_retrying(error, 1):
                raise
            response = await call.again(clock)
        if allowance is not None:
            allowance.give()
        return response

    return send


class _Call:
    """One call's attempts: what was shown, what was tried, how long to wait."""

    def __init__(
        self, next: Send, request: Request, rule: RetryRule, random: Random, allowance: Allowance | None
    ) -> None:
        self.next = next
        self.allowance = allowance
        self.rule = rule
        self.random = random
        self.shown = False
        self.tried: tuple[Attempt, ...] = ()
        self.failed: LlmctlError | None = None
        self.pause = 0.0
        listener = request.on_text
        self.request = (
            request if listener is None else replace(request, on_text=self._listen(listener, request.heard))
        )

    def _listen(self, listener: OnText, heard: bool) -> OnText:
        def on_text(text: str) -> None:
            self.shown = heard
            listener(text)

        return on_text

    async def attempt(self) -> Response:
        try:
            response = await self.next(self.request)
        except BaseException as error:
            self.failed_with(error)
            raise
        if not self.tried:
            return response
        tried = self.tried + response.tried
        return replace(response, tried=tried, cost=total_cost(tried))

    def failed_with(self, error: BaseException) -> None:
        """An attempt's end; the error then tells of all attempts."""
        add_tried(error, self.tried)
        self.tried = tried_of(error)
        self.failed = error if isinstance(error, LlmctlError) else None
        if self.failed is not None:
            self.request = later(self.request, self.failed.waited)

    async def again(self, clock: Clock) -> Response:
        """tenacity's loop, entered with the first attempt already failed and worth another."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_never

        def number() -> int:
            return int(retrying.statistics["attempt_number"])

        def worth(error: BaseException) -> bool:
            return number() == 1 or (isinstance(error, LlmctlError) and self.worth_retrying(error, number()))

        async def attempt() -> Response:
            if number() == 1:
                assert self.failed is not None
                raise self.failed
            return await self.attempt()

        async def sleep(seconds: float) -> None:
            try:
                await clock.sleep(seconds)
            except BaseException as error:
                add_tried(error, self.tried)
                raise

        retrying = AsyncRetrying(
            stop=stop_never,  # the attempts are counted in `worth_retrying`
            wait=lambda state: self.pause,
            retry=retry_if_exception(worth),
            sleep=sleep,
            reraise=True,
        )
        return await retrying(attempt)

    def worth_retrying(self, error: LlmctlError, number: int) -> bool:
        """Whether to try again after `pause` seconds; `number` attempts have failed."""
        most = min(self.rule.attempts, error.most_attempts or self.rule.attempts)
        if not error.retryable or self.shown or number >= most:
            return False
        assert self.request.deadline is not None
        left = self.request.deadline - time.monotonic()
        if error.retry_after is not None and error.retry_after >= left:
            total = spell(self.request.target.timeouts.total)
            error.hint = (
                f"come back in {spell(error.retry_after)}: the provider asks for that, "
                f"and a call has {total} in all"
            )
            return False
        self.pause = self._pause(error.retry_after, number)
        return self.pause < left and self._allowed(error)

    def _allowed(self, error: LlmctlError) -> bool:
        free = isinstance(error, RateLimited | ConnectionDropped)
        if self.allowance is None or free or self.allowance.take():
            return True
        error.hint = "not tried again: too many requests of this batch fail; run it again with --retry-failed"
        return False

    def _pause(self, asked: float | None, number: int) -> float:
        try:
            longest = min(self.rule.cap, self.rule.base * self.rule.factor ** (number - 1))
        except OverflowError:
            longest = self.rule.cap
        jitter = self.random.random() * longest
        return asked + min(jitter, 0.1 * asked) if asked else jitter


def total_cost(tried: tuple[Attempt, ...]) -> Nanos | None:
    """What all attempts cost together; unknown as soon as one is."""
    total = 0
    for attempt in tried:
        if attempt.cost is None:
            return None
        total += attempt.cost
    return total


def spell(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h`: for people."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
