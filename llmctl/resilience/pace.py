"""The pace that one model is asked at: limits that are given, limits that its answers tell, what it bears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from llmctl.core.canonical import canonical, digest
from llmctl.core.errors import LlmctlError
from llmctl.core.model import Quota, Request, Response
from llmctl.core.ports import Clock
from llmctl.resilience.lane import TOKENS_BURST_S, Lane, request_cost, token_cost
from llmctl.resilience.shared import SharedState
from llmctl.resilience.window import Window

if TYPE_CHECKING:
    from asyncio import Lock

LOOK_S = 0.25
"""How long it is believed that no other process has learned to wait."""
LONGEST_HOLD_S = 900.0
"""A quota that is whole again later than this is not waited for: the provider's own refusal says when."""
TELL_S = 5.0
"""A longer wait for a turn is told, once."""
BYTES_A_TOKEN = 3
"""Of a prompt: few languages and no code have fewer, so the estimate is rather high."""
UNKNOWN_TOKENS = 1000
"""What an answer is taken to have where nothing limits it and none has come yet."""
LEARN = 0.125
"""The weight of the newest answer in the expected number of tokens."""


class Limits(NamedTuple):
    """Per minute and in flight; None: not given. Those of the command, else those of the profile."""

    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None


class Paces:
    """The paces of a run. `now` are seconds that all processes share, `era` names when they began."""

    def __init__(
        self,
        limits: Limits,
        state: SharedState,
        clock: Clock,
        low_quotas: Callable[[Mapping[str, str]], list[Quota]],
        warn: Callable[[str], None],
        era: str = "",
    ) -> None:
        self.limits = limits
        self.state = state
        self.clock = clock
        self.low_quotas = low_quotas
        self.warn = warn
        self.era = era
        self.on_grown: Callable[[int], None] = lambda size: None
        """Told when more may be in flight than ever before."""
        self._known: dict[tuple[str, str | None, str | None], Pace] = {}
        self._windows: dict[tuple[str, str | None], Window] = {}

    def of(self, request: Request) -> Pace:
        target = request.target
        key = (target.model, target.api_base, request.key)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Pace(self, request)
        return found

    def window(self, request: Request) -> Window:
        """One for all keys of a target."""
        target = request.target
        key = (target.model, target.api_base)
        if key not in self._windows:
            self._windows[key] = window = Window(self.clock.monotonic, self.limits.concurrency)
            window.grown = lambda size: self.on_grown(size)
        return self._windows[key]

    def seen(self) -> list[tuple[str, str, float]]:
        """(model, what, seconds until a turn) of every lane in use since the machine's start.

        Of several addresses or keys of a model the longest wait.
        """
        prefix, waits = f"rate/{self.era}/", dict[tuple[str, str], float]()
        for key in self.state().find(prefix):
            place, _, what = key.removeprefix(prefix).rpartition("/")
            name = (place.rpartition("#")[0], what)
            lane = Lane(key, self.state, self.clock.monotonic)
            waits[name] = max(waits.get(name, 0.0), lane.held())
        return [(*name, wait) for name, wait in waits.items()]

    def lane(self, request: Request, what: str, *also: str | None, tokens: bool = False) -> Lane:
        """A lane of the target, or of one of its keys."""
        target = request.target
        place = digest(canonical([target.api_base, *also]))[:8]
        key = f"rate/{self.era}/{target.model}#{place}/{what}"
        if tokens:
            return Lane(key, self.state, self.clock.monotonic, burst=TOKENS_BURST_S, ahead=True)
        return Lane(key, self.state, self.clock.monotonic)


class Pace:
    """The pace of one target with one key."""

    def __init__(self, paces: Paces, request: Request) -> None:
        rpm, tpm = paces.limits.rpm, paces.limits.tpm
        self.window = paces.window(request)
        self._clock = paces.clock
        self._paces = paces
        self._cost = request_cost(rpm) if rpm else 0.0
        self._tpm = tpm
        self._requests = paces.lane(request, "requests") if rpm else None
        self._tokens = paces.lane(request, "tokens", tokens=True) if tpm else None
        self._learned = paces.lane(request, "learned", request.key)
        self.given = bool(rpm or tpm)
        """Whether a limit is given, by the command or the profile."""
        self._look_at = float("-inf")
        self._gap = 0.0
        self._gap_until = 0.0
        self._expected: float | None = None
        self._told = False
        self._gate: Lock | None = None

    def free(self, now: float) -> bool:
        """Whether a request may go at once, without taking a turn; `now` is monotonic."""
        if self.given or now >= self._look_at:
            return False
        return not self.window.full

    async def turn(self, request: Request) -> float:
        """Waits until the request may go, and counts it as in flight; the tokens reserved for it."""
        import asyncio

        began = self._clock.monotonic()
        await self.window.enter()
        try:
            if self._gate is None:
                self._gate = asyncio.Lock()
            async with self._gate:  # only the first in line takes a turn, so that few turns are lost
                if self._clock.monotonic() - began > 0.001:
                    await self._clock.sleep(0)  # which raises where the command was interrupted meanwhile
                tokens = await self._reserve(request)
                wait = self._take()
                if wait > 0:
                    self._tell(request, wait)
                    await self._clock.sleep(wait)
        except BaseException:  # also cancelled: it is not in flight
            self.window.leave()
            raise
        return tokens

    def answered(self, response: Response, tokens: float, sent_at: float) -> None:
        """Learns from an answer: its tokens, the quotas it tells, and that the window bears it."""
        self.window.answered(sent_at)
        usage = response.usage
        used = usage.input_tokens + usage.output_tokens
        if self._tokens is not None:
            self._correct(tokens, used)
        self._expect(usage.output_tokens)
        if response.headers:
            low = self._paces.low_quotas(response.headers)
            if low or self._gap:
                self._mind(low, used, sent_at)

    def failed(self, error: LlmctlError, tokens: float) -> None:
        """A request that was surely not billed gives its tokens back."""
        if self._tokens is not None and error.billed == "no":
            self._correct(tokens, 0)

    async def _reserve(self, request: Request) -> float:
        """Waits until the tokens that the request may take are free, and takes them.

        Answers that come meanwhile give back what they did not need, and tell what to expect.
        """
        if self._tokens is None:
            return 0.0
        assert self._tpm is not None
        while True:
            tokens = self._estimate(request)
            wait = self._tokens.take(token_cost(tokens, self._tpm), within=0.0)
            if wait <= 0:
                return tokens
            self._tell(request, wait)
            await self._clock.sleep(min(wait, LOOK_S))

    def _take(self) -> float:
        """Takes a turn on every lane of requests that there is; the longest wait."""
        now = self._clock.monotonic()
        wait = self._requests.take(self._cost) if self._requests is not None else 0.0
        if self._gap and now < self._gap_until:
            return max(wait, self._learned.take(self._gap))
        self._gap = 0.0
        if now >= self._look_at:
            held = self._learned.held()
            self._look_at = float("-inf") if held else now + LOOK_S
            wait = max(wait, held)
        return wait

    def _estimate(self, request: Request) -> float:
        """Tokens that the request will take: its bytes by 3, and an answer as long as they are by now."""
        sent = sum(_bytes(message.get("content")) for message in request.messages) / BYTES_A_TOKEN
        most = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
        limit = float(most) if isinstance(most, int | float) else float(UNKNOWN_TOKENS)
        return sent + (limit if self._expected is None else min(limit, self._expected))

    def _expect(self, output: int) -> None:
        known = self._expected
        self._expected = float(output) if known is None else known + LEARN * (output - known)

    def _correct(self, reserved: float, used: float) -> None:
        assert self._tokens is not None
        assert self._tpm is not None
        cost = token_cost(reserved, self._tpm) - token_cost(used, self._tpm)
        self._paces.state.learn(self._tokens.give_back, cost)

    def _mind(self, low: list[Quota], used: float, sent_at: float) -> None:
        """Waits out a quota that is used up; spreads what is left of one over the time until it is whole."""
        self._gap = 0.0
        now = self._clock.monotonic()
        for quota in low:
            if quota.reset > LONGEST_HOLD_S or quota.reset <= 0:
                continue
            left = quota.left / max(used, 1.0) if quota.tokens else quota.left
            if left < 1:
                self._paces.state.learn(self._learned.hold, quota.reset)
                self.window.refused(sent_at)
            elif quota.reset / left > self._gap:
                self._gap = quota.reset / left
                self._gap_until = now + quota.reset
        self._look_at = float("-inf")

    def _tell(self, request: Request, wait: float) -> None:
        if wait >= TELL_S and not self._told:
            self._told = True
            self._paces.warn(
                f"{request.target.model}: its rate limit is reached, waiting {wait:.0f} s for a turn"
            )


def _bytes(content: object) -> int:
    """UTF-8 bytes of a message's text."""
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
    if isinstance(content, list | tuple):
        return sum(_bytes(part.get("text")) for part in content if isinstance(part, Mapping))
    return 0
