"""The one place that opens things: clock, chance, environment, cache, ledger, prices, providers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmctl import closing
from llmctl.config import find, resolve
from llmctl.core.errors import AuthError, ConfigError, MissingExtra
from llmctl.core.hidden import KEYS
from llmctl.core.model import Request, Response, Usage
from llmctl.core.money import Nanos
from llmctl.core.profile import Profile
from llmctl.machine import Secrets, SystemClock, SystemRandom
from llmctl.schemas import LazyAnswers
from llmctl.targets import StandIns, Targets

if TYPE_CHECKING:
    from llmctl.config.resolve import Resolved
    from llmctl.connections import Connections
    from llmctl.core.ports import Judge, State
    from llmctl.facts import Facts
    from llmctl.meaning.encoder import Encoder
    from llmctl.meaning.near import Near
    from llmctl.otel.telemetry import Telemetry
    from llmctl.pricing.book import PriceBook
    from llmctl.resilience.circuit import Circuits
    from llmctl.resilience.pace import Paces
    from llmctl.resilience.pool import Pools
    from llmctl.resilience.shared import SharedState
    from llmctl.stages.retry import Allowance
    from llmctl.state.cache import AnswerCache
    from llmctl.state.log import FileLog
    from llmctl.state.numbers import Numbers
    from llmctl.state.sealed import Seal
    from llmctl.usage.desk import Desk
    from llmctl.usage.ledger import SqliteLedger
    from llmctl.usage.purses import Purse
    from llmctl.watch import Watch


OTEL_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Variables that name a receiver of traces."""


class Services:
    """Everything a pipeline needs, each opened when it is first asked for.

    `name` is a profile's name or path, None for the usual choice; `home` the folder of state.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        name: str | None = None,
        home: Path | None = None,
        cwd: Path | None = None,
        warn: Callable[[str], None] = lambda text: None,
        group: bool = False,
        max_cost: Nanos | None = None,
    ) -> None:
        self.environ = environ
        self.cwd = cwd or Path()
        self.home = home or Path(environ.get("LLMCTL_HOME") or find.data_folder(environ))
        self.warn = warn
        self.group = group
        """Many calls are to come: ledger and cache are written in groups, by `flush`."""
        self.max_cost = max_cost
        """The most that all calls of these services may cost together, besides the profile's budgets."""
        self.shared_max_cost = False
        """Whether other processes spend under `max_cost` too, those of the same run."""
        self.concurrency: int | None = None
        self.rpm: float | None = None
        self.tpm: float | None = None
        """Limits of the command, over the profile's; None: it says nothing."""
        self.allowance: Allowance | None = None
        """The retries that all calls share; None: each call is on its own."""
        self.tell: Callable[[str], None] | None = None
        """Hears of warnings and errors in the log too, as lines for people."""
        self.alone = False
        """Whether the process is ours: then all that is logged in it is ours to write."""
        self.clock = SystemClock()
        self.random = SystemRandom()
        self.run_id = os.urandom(8).hex()
        self.secrets = Secrets(environ)
        self._wanted = name

    @cached_property
    def places(self) -> find.Places:
        return find.places(self.environ, self.cwd)

    @cached_property
    def resolved(self) -> Resolved:
        return resolve.resolve(self._profile_name(), self.places)

    @property
    def profile(self) -> Profile:
        return self.resolved.profile

    def _profile_name(self) -> str:
        """-p or LLMCTL_PROFILE, else `profile:` of a settings file, else dev with its key, else local."""
        if name := self._wanted or self.environ.get("LLMCTL_PROFILE"):
            return name
        if chosen := resolve.chosen_name(self.places):
            return chosen[0]
        dev = resolve.resolve("dev", self.places).profile
        keys = Targets(dev, self.environ, lambda bare: None, lambda bare: []).choose(None).target.keys
        return "dev" if all(self._present(key) for key in keys) else "local"

    def _present(self, reference: str) -> bool:
        kind, _, name = reference.partition(":")
        return kind != "env" or bool(self.environ.get(name))

    @cached_property
    def targets(self) -> Targets:
        return Targets(
            self.profile,
            self.environ,
            lambda bare: self.prices.provider_of(bare),
            lambda bare: self.prices.near(bare),
            str(self.resolved.files[-1]),
        )

    @cached_property
    def cache(self) -> AnswerCache | None:
        """None where the profile turns it off."""
        rule = self.profile.cache
        if not rule.enabled:
            return None
        return self.open_cache(rule.ttl, rule.max_bytes)

    def open_cache(self, ttl: float | None = None, max_bytes: int = 2**30) -> AnswerCache:
        from llmctl.state.cache import AnswerCache

        seal = self._seal if self.profile.cache.encrypt else None
        return AnswerCache(self.home / "cache", ttl, max_bytes, self.warn, group=self.group, seal=seal)

    def _seal(self) -> Seal:
        from llmctl.state.sealed import Seal

        reference = self.profile.cache.encrypt or ""
        try:
            return Seal(self.secrets.resolve(reference), reference)
        except AuthError as error:  # no provider refused it: the profile names a key that is not there
            raise ConfigError(f"cache.encrypt: {error.message}", hint=error.hint) from None

    @cached_property
    def keep(self) -> Callable[[Response], bool]:
        """Whether an answer may be stored: the asked model's, worth it (`min_cost`), no key, not blocked."""
        least, privacy = self.profile.cache.min_cost, self.profile.privacy

        def keep(response: Response) -> bool:
            if response.instead_of is not None or (response.cost or 0) < least or KEYS.holds(response.text):
                return False
            if privacy.answers != "block":
                return True
            from llmctl.privacy.answers import is_unsafe

            return not is_unsafe(response, privacy)

        return keep

    @cached_property
    def ledger(self) -> SqliteLedger:
        from llmctl.usage.ledger import SqliteLedger

        return SqliteLedger(
            self.home / "ledger.db", self.clock, lambda: self.prices.snapshot, group=self.group
        )

    def number(self) -> int:
        """The next call's number in the ledger."""
        return self._numbers()

    @cached_property
    def _numbers(self) -> Numbers:
        from llmctl.core.files import private_folder
        from llmctl.state.numbers import numbers

        return numbers(private_folder(self.home, link=True), self.clock.now)

    @cached_property
    def prices(self) -> PriceBook:
        from llmctl.pricing.book import PriceBook

        return PriceBook(self.home / "prices", self.profile.prices)

    @cached_property
    def facts(self) -> Facts:
        """What is known of models before they are asked."""
        from llmctl.facts import Facts

        return Facts(lambda: self.prices)

    @cached_property
    def encoder(self) -> Encoder | None:
        """Tells which texts mean nearly the same; None without the extra `semantic`."""
        from llmctl.meaning.encoder import Encoder, installed

        return Encoder() if installed() else None

    @cached_property
    def near(self) -> Near | None:
        """Finds prompts that ask nearly the same; None where the profile does not want it."""
        rule = self.profile.cache
        if not (rule.enabled and rule.semantic.enabled):
            return None
        from llmctl.meaning.near import Near
        from llmctl.state.neighbours import Neighbours

        if self.encoder is None:
            raise MissingExtra("cache.semantic", "semantic")
        seal = self._seal if rule.encrypt else None
        self.neighbours = Neighbours(self.home / "cache", self.clock.now, rule.ttl, self.warn, seal)
        return Near(self.encoder, self.neighbours, rule.semantic.threshold, self.warn)

    def price(self, answered: str, asked: str, usage: Usage, at: float) -> Nanos | None:
        """By the model that answered, else by the one that was asked; `at` Unix seconds."""
        return self.prices.cost(answered, asked, usage, at)

    def most(self, request: Request) -> Nanos:
        """The most that one attempt can cost. BudgetError where that is not known."""
        return self._most(request)

    @cached_property
    def _most(self) -> Callable[[Request], Nanos]:
        from llmctl.pricing.reservation import Reservations
        from llmctl.providers.catalog import house

        return Reservations(self.prices, lambda provider: house(provider).route in ("openai", "local"))

    @cached_property
    def state(self) -> State:
        """Counters shared by all processes: files under the home."""
        if url := self.profile.state:
            raise ConfigError(f"state: {url}: not a kind of state known here", hint="state: null for files")
        from llmctl.state.sqlite import SqliteState

        return SqliteState(self.home / "state.db", self.clock.now)

    @cached_property
    def shared(self) -> SharedState:
        """The state for what is learned of providers: that may be lost, an answer may not."""
        from llmctl.resilience.shared import SharedState

        return SharedState(lambda: self.state, self.clock, lambda text: self.warn(text))

    @cached_property
    def circuits(self) -> Circuits:
        """The breakers of all models; what is known of them outlives the process."""
        from llmctl.resilience.circuit import Circuits

        return Circuits(self.profile.breaker, self.shared, self.clock)

    @cached_property
    def pools(self) -> Pools | None:
        """None where no model of the profile has a second key, or another in its place."""
        pools = [rule.keys for rule in self.profile.models.values()]
        pools += [rule.keys for rule in self.profile.providers.values()]
        if all(len(keys) < 2 for keys in pools) and not self.profile.fallback:
            return None
        return self.open_pools()

    def open_pools(self) -> Pools:
        from llmctl.resilience.pool import Pools

        return Pools(self.shared, self.clock)

    @cached_property
    def paces(self) -> Paces:
        """Rate limits and windows. Their time is the machine's since its start, which nobody can set."""
        from llmctl.connections import low_quotas
        from llmctl.resilience.pace import Limits, Paces
        from llmctl.state.owner import boot

        given = self.profile.limits
        limits = Limits(self.concurrency or given.concurrency, self.rpm or given.rpm, self.tpm or given.tpm)
        return Paces(limits, self.shared, self.clock, low_quotas, self.warn, boot())

    @cached_property
    def stand_ins(self) -> StandIns | None:
        """Who answers in a model's place; None where the profile names no fallback."""
        return StandIns(self.targets, self.answers.ready) if self.profile.fallback else None

    @cached_property
    def purses(self) -> Sequence[Purse]:
        """The budgets in force, that of the command first; nothing is opened where there are none."""
        if self.max_cost is None and not self.profile.budgets:
            return ()
        from llmctl.usage.purses import purses

        run = self.run_id if self.shared_max_cost else None
        return purses(self.max_cost, self.profile.budgets, lambda: self.state, run)

    @cached_property
    def desk(self) -> Desk | None:
        """Where money is set aside; None where no budget is in force."""
        if not self.purses:
            return None
        from llmctl.usage.desk import Desk

        return Desk(self.purses, self.clock, self.warn, group=self.group)

    @cached_property
    def judge(self) -> Judge:
        from llmctl.providers.judge import Judge

        return Judge(self.estimate, lambda model: self.prices.near(model), self.facts.window)

    @cached_property
    def answers(self) -> LazyAnswers:
        """What the schema stage asks of schemas; loaded when a request has one."""
        return LazyAnswers(lambda model: self.prices.info(model))

    def estimate(self, request: Request, response: Response) -> Usage:
        """Tokens counted here, where the provider sent no usable usage."""
        from llmctl.pricing.tokens import count

        model = request.target.model
        said = response.text + (response.reasoning or "")
        return Usage(
            input_tokens=count(request.messages, model).tokens,
            output_tokens=count(said, model).tokens,
            estimated=True,
            service=response.usage.service,
        )

    @cached_property
    def log(self) -> FileLog | None:
        """None where the profile wants none."""
        from llmctl.logs import opened

        return opened(self)

    @cached_property
    def connections(self) -> Connections:
        from llmctl.connections import Connections

        return Connections(self)

    def listen(self) -> None:
        """From now on the libraries' logging goes into our log."""
        from llmctl.logs import listen

        listen(self)

    def flush(self) -> None:
        """Writes what has been gathered, of the cache only now and then: its answers are elsewhere too.

        StorageError where the ledger cannot be written.
        """
        closing.flush(self.__dict__)

    @cached_property
    def watch(self) -> Watch | None:
        """What looks at the profile's alerts; None where there are none, and then nothing is loaded."""
        if not self.profile.alerts:
            return None
        from llmctl.watch import Watch

        return Watch(self)

    @cached_property
    def telemetry(self) -> Telemetry | None:
        """What traces calls; None where that is off, and then nothing is loaded."""
        rule = self.profile.otel
        if rule.enabled is False or not (rule.enabled or any(map(self.environ.get, OTEL_ENDPOINTS))):
            return None
        from llmctl import __version__
        from llmctl.otel import telemetry

        if not telemetry.wanted(rule):
            return None
        found = telemetry.Telemetry(rule, self.environ, (self.run_id, __version__), self.warn)
        found.refuse(self.profile.plain_http)
        return found

    def finish(self) -> None:
        """What can wait until all has been said: a last look at alerts, traces. Takes seconds at most."""
        if self.watch is not None:
            self.watch.end()
        if self.__dict__.get("telemetry") is not None:
            self.__dict__["telemetry"].end()

    def wake(self) -> None:
        """Ends every wait between attempts: what is not in flight is not to be sent any more."""
        self.clock.wake()

    async def close(self) -> None:
        """Ends connections and files, each whatever becomes of the others; what was paid for is on disk."""
        await closing.close(self.__dict__)
