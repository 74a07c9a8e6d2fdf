"""A provider reached over the wire in some codec's format."""

from __future__ import annotations

import time

from llmctl.core.errors import BrokenStream, LlmctlError, ProviderError
from llmctl.core.model import Request, Response, replace
from llmctl.core.ports import Codec, StreamDecoder
from llmctl.providers.wire import Stream, Wire


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
            return replace(self.codec.decode(request, answer.body), headers=answer.headers)
        started = time.monotonic()
        async with self.wire.stream(call, request) as stream:
            if stream.is_whole:
                return await self._whole(stream, request)
            return await self._streamed(stream, request, started)

    async def _whole(self, stream: Stream, request: Request) -> Response:
        body = b"".join([chunk async for chunk in stream.chunks()])
        response = replace(self.codec.decode(request, body), headers=stream.headers)
        assert request.on_text is not None
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
            return replace(decoder.finish(), ttft=ttft, headers=stream.headers)
        except LlmctlError as error:
            raise _with_partial(error, decoder, request) from None


def _with_partial(error: LlmctlError, decoder: StreamDecoder, request: Request) -> LlmctlError:
    """A stream that failed keeps what had come; what the provider began it may bill."""
    if error.billed == "no" and isinstance(error, ProviderError):
        error.billed = "unknown"
    if error.response is None:
        error.response = decoder.partial()
    if type(error).__name__ == "ConnectionFailed":
        return _as_broken(error, request)
    return error


def _as_broken(error: LlmctlError, request: Request) -> BrokenStream:
    broken = BrokenStream(
        f"{request.target.model}: the connection was lost inside the stream",
        billed="unknown",
        response=error.response,
    )
    broken.tried = error.tried
    return broken
