"""A provider reached over the wire in some codec's format."""

from __future__ import annotations

import time

from llmctl.core.errors import (
    BrokenAnswer,
    BrokenStream,
    ConnectionFailed,
    LlmctlError,
    OversizedAnswer,
    ProviderTimeout,
)
from llmctl.core.model import Request, Response, fill, replace
from llmctl.core.ports import Codec, StreamDecoder
from llmctl.providers.wire import Stream, Wire

LOST = (BrokenAnswer, ConnectionFailed, ProviderTimeout)
"""How a stream ends that nobody ends: cut, reset, stalled."""


class HttpProvider:
    """One target's codec over the shared wire."""

    def __init__(self, wire: Wire, codec: Codec) -> None:
        self.wire = wire
        self.codec = codec

    async def close(self) -> None:
        await self.wire.close()

    async def send(self, request: Request, key: str | None) -> Response:
        call = self.codec.encode(request, key)
        if request.on_text is None:
            answer = await self.wire.post(call, request)
            return fill(self.codec.decode(request, answer.body), headers=answer.headers)
        started = time.monotonic()
        async with self.wire.stream(call, request) as stream:
            if stream.is_whole:
                return await self._whole(stream, request)
            return await self._streamed(stream, request, started)

    async def _whole(self, stream: Stream, request: Request) -> Response:
        response = fill(self.codec.decode(request, await stream.whole()), headers=stream.headers)
        assert request.on_text is not None
        if response.text:
            request.on_text(response.text)
        return response

    async def _streamed(self, stream: Stream, request: Request, started: float) -> Response:
        assert request.on_text is not None
        ttft: float | None = None
        decoder = self.codec.stream(request)
        try:
            async for data in stream.events():
                if data == b"[DONE]":
                    break
                text = decoder.feed(data)
                if text:
                    if ttft is None:
                        ttft = time.monotonic() - started
                    request.on_text(text)
            response = decoder.finish()
        except BrokenStream as error:
            raise _with_partial(error, decoder) from None
        except LOST as error:
            response = _ended(decoder, request, error)
        except LlmctlError as error:
            raise _with_partial(error, decoder) from None
        return replace(response, ttft=ttft, headers=stream.headers)


def _ended(decoder: StreamDecoder, request: Request, error: LlmctlError) -> Response:
    """The answer, where it was whole before the connection was lost."""
    try:
        if not isinstance(error, OversizedAnswer):
            return decoder.finish()
    except BrokenStream:
        if not isinstance(error, ProviderTimeout):
            error = BrokenStream(f"{request.target.model}: the connection was lost inside the stream")
    raise _with_partial(error, decoder) from None


def _with_partial(error: LlmctlError, decoder: StreamDecoder) -> LlmctlError:
    """A stream that failed keeps what had come; what the provider began it may bill."""
    error.billed = "unknown"
    if error.response is None:
        error.response = decoder.partial()
    return error
