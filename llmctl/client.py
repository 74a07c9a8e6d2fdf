"""The library: the command's pipeline for Python programs, sync and async.

    from llmctl import Client

    with Client(profile="dev") as client:
        answer = client.run("Say hello")
        print(answer.text, answer.cost)

The async half (`arun`, `astream`) belongs to the caller's event loop. The sync half runs the very
same core in one event loop of its own, in a thread that lives as long as the client.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from llmctl.ask import Ask, asked, compose
from llmctl.core.errors import LlmctlError, UsageError
from llmctl.core.loop import run as run_core
from llmctl.core.model import OnText, Response, Send
from llmctl.core.money import to_nanos
from llmctl.pipeline import build
from llmctl.services import Services

if TYPE_CHECKING:
    import asyncio

    from llmctl.batch.api import AsyncRows, BatchResult, Rows
    from llmctl.estimate import Estimate
    from llmctl.usage.budgets import Status
    from llmctl.usage.episodes import Episode
    from llmctl.usage.report import Report

T = TypeVar("T")
CONCURRENCY = 32
WISHES = frozenset(
    (
        "template",
        "variables",
        "examples",
        "inside",
        "choose",
        "seed",
        "cot",
        "files",
        "schema",
        "optimize",
        "max_tokens",
    )
)
"""Keywords that make a recipe: the fields of `llmctl.wish.Wish`."""


class Client:
    """Asks models under a profile's guards.

    `profile` is a name or path (default as for the command), `home` the folder of state,
    `environ` the variables that keys are read from (default: the process's).
    Every failure is an `LlmctlError`; its `exit_code` is the command's.
    """

    def __init__(
        self,
        profile: str | None = None,
        *,
        home: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self.services = Services(
            os.environ if environ is None else environ,
            name=profile,
            home=Path(home) if home is not None else None,
            warn=self.warnings.append,
        )
        self._profile = profile
        self._send: Send | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = allocate_lock()

    async def arun(self, prompt: str, **ask: Any) -> Response:
        """One answer. Keywords are those of `llmctl.ask.Ask`: system, model, params, tag, cache, …

        And those of `llmctl.wish.Wish`: template, variables, examples, inside, choose, seed, cot, files,
        schema, optimize, max_tokens. With a schema, `response.parsed` is the value that fits it.
        """
        request = compose(self.services, self._ask(prompt, ask))
        try:
            return await self._pipeline()(request)
        finally:
            if self.services.watch is not None:
                self.services.watch.poke()

    def run(self, prompt: str, **ask: Any) -> Response:
        """As `arun`, for programs without an event loop."""
        return self._wait(self.arun(prompt, **ask))

    def astream(self, prompt: str, **ask: Any) -> AsyncStream:
        """The answer's text as it arrives; `.response` is the whole once it has ended."""
        return AsyncStream(self, prompt, ask)

    def stream(self, prompt: str, **ask: Any) -> Stream:
        """As `astream`, for programs without an event loop."""
        return Stream(self, prompt, ask)

    async def abatch(
        self,
        rows: Rows | AsyncRows | str | Path,
        *,
        journal: str | Path | None = None,
        concurrency: int | None = None,
        order: Literal["input", "done"] = "input",
        limit: int | None = None,
        retry_failed: bool = False,
        **ask: Any,
    ) -> AsyncGenerator[BatchResult, None]:
        """The results of many rows: prompts, maps with a row's fields, or the path of a file of them.

        An asynchronous iterable is read to its end before the first row is asked. Other keywords are
        those of `arun`; a row's own fields win over them. With `journal` what is finished is kept in that
        file: the same call later sends only what is missing or has changed. A row that fails is a result
        with an `error`; what ends the whole batch (a refused key, a budget) is raised after the results, of
        which those not sent are `pending`.
        """
        from llmctl.batch.api import gathered, results, source_of
        from llmctl.batch.job import Job

        if (concurrency or 1) < 1 or (limit or 0) < 0 or order not in ("input", "done"):
            problem = f"concurrency={concurrency}, limit={limit}, order={order!r}: one of them cannot be"
            raise UsageError(problem, hint='concurrency from 1, limit from 0, order "input" or "done"')
        job = Job(
            ask=self._ask("", ask),
            concurrency=concurrency or self.services.profile.limits.concurrency or CONCURRENCY,
            order=order,
            limit=limit,
            format="llmctl",
            retry_failed=retry_failed,
            kept=Path(journal) if journal is not None else None,
        )
        source = await gathered(rows) if isinstance(rows, AsyncIterable) else source_of(rows)
        async with aclosing(results(self._grouped(), job, source)) as found:
            async for each in found:
                yield each

    def batch(self, rows: Rows | AsyncRows | str | Path, **options: Any) -> Iterator[BatchResult]:
        """As `abatch`, for programs without an event loop."""
        found = self.abatch(rows, **options)
        try:
            while True:
                yield self._wait(_next(found))
        except StopAsyncIteration:
            return
        finally:
            self._wait(found.aclose())

    def _grouped(self) -> Services:
        """Services of their own for many calls: ledger and cache are written in groups."""
        mine = self.services
        return Services(
            mine.environ,
            name=self._profile,
            home=mine.home,
            warn=mine.warn,
            group=True,
            max_cost=mine.max_cost,
        )

    def estimate(
        self,
        prompt: str = "",
        *,
        rows: Rows | str | Path | None = None,
        journal: str | Path | None = None,
        limit: int | None = None,
        max_cost: float | None = None,
        **ask: Any,
    ) -> Estimate:
        """What `run` or, with `rows`, a batch would cost; nothing is sent. Other keywords as for `abatch`.

        `max_cost` is a limit in USD to judge by. It reads the ledger and counts tokens, so it belongs in a
        thread where a loop must not wait.
        """
        from llmctl.batch.api import source_of
        from llmctl.batch.job import Job
        from llmctl.estimate import of_file, of_prompt

        with self._apart() as services:
            services.max_cost = None if max_cost is None else to_nanos(max_cost)
            kept = Path(journal) if journal is not None else None
            job = Job(ask=self._ask(prompt, ask), kept=kept, limit=limit)
            if rows is None:
                return of_prompt(services, job)
            with source_of(rows) as source:
                return of_file(services, job, source)

    def usage(self, **query: Any) -> Report:
        """The ledger's calls; keywords are those of `llmctl.usage.report.Query`: since, until, by, tz, …"""
        from llmctl.usage.report import Query, report

        return report(self.services.home / "ledger.db", Query(**query))

    def budget(self) -> list[Status]:
        """How the profile's budgets stand."""
        from llmctl.usage.budgets import Budget, statuses

        with self._apart() as services:
            budgets = [Budget(rule) for rule in services.profile.budgets]
            return statuses(budgets, services.state, services.clock.now()) if budgets else []

    def alerts(self) -> list[Episode]:
        """How the profile's alert rules stand: rule, reading, standing, since."""
        if not self.services.profile.alerts:
            return []
        from llmctl.watch import Alerts

        with self._apart() as services:
            return Alerts(services).look()

    @contextmanager
    def _apart(self) -> Iterator[Services]:
        """Services like the client's own, for the thread that asks."""
        own = self.services
        services = Services(own.environ, name=self._profile, home=own.home, cwd=own.cwd, warn=own.warn)
        try:
            yield services
        finally:
            run_core(services.close())

    async def aclose(self) -> None:
        """Ends connections and files, after a last look at the alerts where the profile has some."""
        import asyncio

        await asyncio.to_thread(self.services.finish)
        await self.services.close()

    def close(self) -> None:
        """Ends connections and the client's event loop."""
        self._wait(self.aclose())
        with self._starting:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _ask(self, prompt: str, given: Mapping[str, Any]) -> Ask:
        wished = {name: value for name, value in given.items() if name in WISHES}
        ask = Ask(prompt, **{name: value for name, value in given.items() if name not in WISHES})
        if not wished:
            return ask
        from llmctl.wish import Wish, prepare

        return asked(ask, prepare(self.services, Wish(**wished), ask.model, ask.params))

    def _pipeline(self) -> Send:
        if self._send is None:
            _ = self.services.watch  # what is wrong with it is told before anything is sent
            self._send = build(self.services)
        return self._send

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        import asyncio

        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop()).result()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:  # one loop, whichever threads ask first: connections and locks belong to it
            if self._loop is None:
                import asyncio
                import threading

                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="llmctl", daemon=True).start()
                self._loop = loop
            return self._loop


class AsyncStream:
    """An async iterator of text; leaving it early cancels the request."""

    def __init__(self, client: Client, prompt: str, ask: dict[str, Any]) -> None:
        self._client = client
        self._prompt = prompt
        self._ask = ask
        self._response: Response | None = None

    @property
    def response(self) -> Response:
        """The whole answer with usage and cost. RuntimeError while the stream has not ended."""
        if self._response is None:
            raise RuntimeError("the stream has not ended yet: read it to its end first")
        return self._response

    async def __aiter__(self) -> AsyncIterator[str]:
        import asyncio

        texts: asyncio.Queue[str | None] = asyncio.Queue()
        task = asyncio.create_task(self._run(texts.put_nowait))
        task.add_done_callback(lambda _: texts.put_nowait(None))
        try:
            while (text := await texts.get()) is not None:
                yield text
            self._response = await task
        finally:
            task.cancel()

    async def _run(self, on_text: OnText) -> Response:
        return await self._client.arun(self._prompt, on_text=on_text, **self._ask)


class Stream:
    """An iterator of text; leaving it early cancels the request."""

    def __init__(self, client: Client, prompt: str, ask: dict[str, Any]) -> None:
        self._inner = AsyncStream(client, prompt, ask)
        self._client = client

    @property
    def response(self) -> Response:
        """The whole answer with usage and cost. RuntimeError while the stream has not ended."""
        return self._inner.response

    def __iter__(self) -> Iterator[str]:
        texts = self._inner.__aiter__()
        while True:
            try:
                yield self._client._wait(_next(texts))
            except StopAsyncIteration:
                return


async def _next(values: AsyncIterator[T]) -> T:
    return await anext(values)


__all__ = ["Client", "LlmctlError", "Response"]
