"""The providers of a run: each made once, over one wire."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from llmctl.core.model import Quota, Request, Target

if TYPE_CHECKING:
    from asyncio import Future

    from llmctl.core.ports import Provider
    from llmctl.services import Services


class Connections:
    """Opens providers with what the services have: profile, keys, environment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._providers: dict[tuple[str, str | None, tuple[tuple[str, str], ...]], Provider] = {}
        self._last: tuple[Target, Provider] | tuple[None, None] = None, None
        self._loading: Future[Any] | None = None

    @cached_property
    def _gate(self) -> Any:
        from llmctl.providers.gate import Gate

        return Gate(self._services.profile.plain_http, self._services.environ)

    @cached_property
    def _wire(self) -> Any:
        from llmctl.providers.wire import Wire

        self._services.listen()
        return Wire(self._services.profile.max_answer_bytes, self._gate)

    async def provider_of(self, target: Target) -> Provider:
        """The target's provider, made once."""
        last, known = self._last
        if known is not None and target is last:
            return known
        key = (target.model, target.api_base, tuple(target.headers.items()))
        if key not in self._providers:
            await self._ready(target)
        if key not in self._providers:
            self._providers[key] = self._make_provider(self.opened(target))
        self._last = target, self._providers[key]
        return self._providers[key]

    async def ready(self, target: Target) -> None:
        """Loads and opens what the target's first request will need."""
        await self.provider_of(target)
        if "_wire" in self.__dict__:
            self._wire.open()

    async def _ready(self, target: Target) -> None:
        """Loads litellm where the target needs it, in one thread: meanwhile other answers come in."""
        from llmctl.providers.catalog import house

        if house(target.provider).route not in ("codec", "sdk"):
            return
        import asyncio

        if self._loading is None or self._loading.cancelled():
            from llmctl.providers.litellm import load

            self._loading = asyncio.ensure_future(asyncio.to_thread(load))
        await asyncio.shield(self._loading)

    def opened(self, target: Target) -> Target:
        """The target with the values of those headers that are references. AuthError where one has none."""
        from llmctl.config.schema import is_reference

        headers = {
            name: self._services.secrets.resolve(value) if is_reference(value) else value
            for name, value in target.headers.items()
        }
        return dataclasses.replace(target, headers=headers) if headers else target

    def _make_provider(self, target: Target) -> Provider:
        from llmctl.providers.catalog import house

        route = house(target.provider).route
        if route == "local":
            from llmctl.providers.embedded import EmbeddedProvider
            from llmctl.providers.wire import Wire

            own = Wire(self._services.profile.max_answer_bytes)  # never by a proxy: it is on this machine
            return EmbeddedProvider(
                own, target, self._services.home, self._services.profile.local, self._services.warn
            )
        if route == "sdk":
            from llmctl.providers.litellm import LitellmSdk

            self._services.listen()
            return LitellmSdk(target, self._gate)
        from llmctl.providers.http import HttpProvider

        if route == "openai":
            from llmctl.providers.openai import OpenAICodec

            return HttpProvider(self._wire, OpenAICodec(target))
        from llmctl.providers.litellm import LitellmCodec

        return HttpProvider(self._wire, LitellmCodec(target))

    async def list_models(self, target: Target, reference: str) -> None:
        """Asks for the provider's models with one of the target's keys. LlmctlError where it is refused."""
        from llmctl.providers.listing import listing

        call = listing(self.opened(target), self._services.secrets.resolve(reference))
        deadline = self._services.clock.monotonic() + target.timeouts.total
        await self._wire.post(call, Request(target, (), deadline=deadline))

    async def close(self) -> None:
        """Ends what is connected."""
        for provider in self._providers.values():
            await provider.close()
        if "_wire" in self.__dict__:
            await self._wire.close()


@cache
def _quotas() -> Callable[[Mapping[str, str]], list[Quota]]:
    from llmctl.providers.quotas import low_quotas

    return low_quotas


def low_quotas(headers: Mapping[str, str]) -> list[Quota]:
    """`providers.quotas.low_quotas`, loaded with the first answer that came over the wire."""
    return _quotas()(headers)
