"""State within one process: for `--max-cost`, which ends with its command, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from llmctl.state.base import (
    KEPT_S,
    LOST_AFTER_S,
    SLACK_S,
    Account,
    Full,
    Held,
    Traded,
    admit,
    beyond,
    clamp,
)  # fmt: skip


@dataclass(slots=True)
class _Hold:
    held: Held
    expires: float
    lost: bool = False


class MemoryState:
    """Implements `core.ports.State`; `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = Lock()
        self._counters: dict[str, tuple[int, float | None]] = {}
        self._holds: dict[int, _Hold] = {}
        self._next = 0

    def get(self, key: str) -> int | None:
        with self._lock:
            return self._value(key)

    def set(self, key: str, value: int, *, ttl: float | None = None) -> None:
        with self._lock:
            self._counters[key] = clamp(value), None if ttl is None else self._now() + ttl

    def delete(self, key: str) -> None:
        with self._lock:
            self._counters.pop(key, None)

    def add(
        self, key: str, amount: int, *, ceiling: int | None = None, ttl: float | None = None
    ) -> int | None:
        with self._lock:
            end = None if ttl is None else self._now() + ttl
            expires = self._counters.get(key, (0, None))[1]
            if end is not None and expires is not None and expires > end + SLACK_S:
                del self._counters[key]
            if beyond(clamp(amount), self._value(key) or 0, ceiling):
                return None
            return self._put(key, clamp(amount), end)

    def hold(
        self, accounts: Sequence[Account], amount: int, lease: float, *, sent: bool = False
    ) -> int | Full:
        with self._lock:
            self._sweep()
            amount = clamp(amount)
            for account in accounts:
                if beyond(amount, value := self._value(account.key) or 0, account.ceiling):
                    return Full(account, value)
            for account in accounts:
                self._put(account.key, amount, None if account.until is None else account.until + KEPT_S)
            self._next += 1
            held = Held(tuple(account.key for account in accounts), amount, sent)
            self._holds[self._next] = _Hold(held, self._now() + (LOST_AFTER_S if sent else lease))
            return self._next

    def sent(self, hold: int) -> bool:
        with self._lock:
            if hold not in self._holds:
                return False
            held = self._holds[hold].held
            self._holds[hold] = _Hold(Held(held.keys, held.amount, True), self._now() + LOST_AFTER_S)
            return True

    def settle(self, hold: int, actual: int) -> Mapping[str, int]:
        with self._lock:
            found = self._holds.pop(hold, None)
            if found is None:
                return {}
            change = clamp(actual) - found.held.amount
            return {key: self._put(key, change, None) for key in found.held.keys if key in self._counters}

    def trade(
        self, hold: int, accounts: Sequence[Account], wanted: Sequence[int], *, back: int = 0, spent: int = 0
    ) -> Traded:
        with self._lock:
            self._sweep()
            standing = self._holds.pop(hold, None)
            left = 0 if standing is None else standing.held.amount - back
            change = 0 if standing is None else clamp(spent) - back
            wanted = [clamp(amount) for amount in wanted]
            values = {a.key: (self._value(a.key) or 0) + change for a in accounts}
            taken, full = admit(accounts, values, wanted)
            more = sum(amount for amount, took in zip(wanted, taken, strict=True) if took)
            for account in accounts:
                until = None if account.until is None else account.until + KEPT_S
                if change + more or account.key in self._counters:
                    values[account.key] = self._put(account.key, change + more, until)
            if left + more <= 0:
                return Traded(0, taken, values, full)
            if standing is None:
                self._next += 1
                hold = self._next
            held = Held(tuple(account.key for account in accounts), left + more, True)
            self._holds[hold] = _Hold(held, self._now() + LOST_AFTER_S)
            return Traded(hold, taken, values, full)

    def held(self) -> list[Held]:
        with self._lock:
            self._sweep()
            return [hold.held for hold in self._holds.values() if not hold.lost]

    def find(self, prefix: str) -> Mapping[str, int]:
        with self._lock:
            found = {key: self._value(key) for key in list(self._counters) if key.startswith(prefix)}
        return {key: value for key, value in found.items() if value is not None}

    def close(self) -> None:
        """Nothing is open."""

    def _value(self, key: str) -> int | None:
        value, expires = self._counters.get(key, (None, None))
        if expires is not None and expires <= self._now():
            del self._counters[key]
            return None
        return value

    def _put(self, key: str, change: int, expires: float | None) -> int:
        value = self._value(key)
        if value is not None:
            expires = self._counters[key][1]
        new = clamp((value or 0) + change)
        self._counters[key] = new, expires
        return new

    def _sweep(self) -> None:
        now = self._now()
        for number, hold in list(self._holds.items()):
            if hold.expires > now:
                continue
            if hold.held.sent:
                hold.lost = True
                continue
            del self._holds[number]
            for key in hold.held.keys:
                self._put(key, -hold.held.amount, None)
