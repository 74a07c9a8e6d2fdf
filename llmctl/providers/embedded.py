"""The embedded model as a provider like any other: one more endpoint that speaks OpenAI's format."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from llmctl.core.errors import ConnectionFailed
from llmctl.core.model import Request, Response, Target
from llmctl.core.profile import LocalRule
from llmctl.providers.http import HttpProvider
from llmctl.providers.local import Endpoint, ensure
from llmctl.providers.openai import OpenAICodec
from llmctl.providers.weights import find
from llmctl.providers.wire import Wire

TRUSTED_S = 20.0
"""How long an endpoint is used without asking again whether its server lives."""
NOTICE = "the embedded model is a small one for trying things out; do not rely on its answers (said once)"


class EmbeddedProvider:
    """Starts or finds the model's server, then talks to it over the shared wire."""

    def __init__(
        self, wire: Wire, target: Target, home: Path, rule: LocalRule, warn: Callable[[str], None]
    ) -> None:
        self.wire = wire
        self.model = target.bare_model
        self.home = home
        self.rule = rule
        self.warn = warn
        self._endpoint: Endpoint | None = None
        self._seen = 0.0

    async def close(self) -> None:
        await self.wire.close()

    async def send(self, request: Request, key: str | None) -> Response:
        endpoint = await self._ready()
        target = replace(request.target, api_base=endpoint.base_url)
        inner = HttpProvider(self.wire, OpenAICodec(target))
        try:
            response = await inner.send(replace(request, target=target), endpoint.key)
        except ConnectionFailed:
            self._endpoint = None  # its server is gone; the next attempt starts another
            raise
        return replace(response, model=request.target.model)

    async def _ready(self) -> Endpoint:
        now = time.monotonic()
        if self._endpoint is None or now - self._seen > min(TRUSTED_S, self.rule.idle / 2):
            weights = find(self.model, self.home)
            self._endpoint = await ensure(weights, self.home, self.rule.idle, threads=self.rule.threads)
            self._seen = now
            self._tell()
        return self._endpoint

    def _tell(self) -> None:
        """Once a home: a file remembers that it was said."""
        told = self.home / "local" / "told"
        if not told.exists():
            told.touch(mode=0o600)
            self.warn(NOTICE)
