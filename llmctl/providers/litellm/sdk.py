"""`litellm.acompletion` for the houses whose calls only litellm can make."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

from llmctl.core.errors import AuthError, BrokenAnswer, BrokenStream, LlmctlError, ProviderTimeout
from llmctl.core.model import OnText, Request, Response, Target
from llmctl.providers.catalog import house
from llmctl.providers.gate import Gate
from llmctl.providers.litellm.errors import from_litellm
from llmctl.providers.litellm.loading import hush, load
from llmctl.providers.litellm.params import Params
from llmctl.providers.litellm.read import Pieces, tells, tool_call, usage_of_litellm
from llmctl.providers.openai import answering, billed
from llmctl.providers.usage import served


class LitellmSdk:
    """One target through `litellm.acompletion`: one request, its own retries off, a deadline around it.

    A stream that ends without a finish reason of the provider's is BrokenStream. Errors are told by
    `litellm_errors`.
    """

    def __init__(self, target: Target, gate: Gate | None = None) -> None:
        self.target = target
        self.gate = gate or Gate()
        self.house = house(target.provider)
        self._params = Params(target)

    async def send(self, request: Request, key: str | None) -> Response:
        import asyncio

        if key is None and not self.house.keyless:
            raise AuthError(f"{self.target.model}: no key", hint=f"set {' or '.join(self.house.keys)}")
        call = self._call(request, key)
        hush(load())
        seconds = self._seconds(request)
        said: list[LitellmPieces] = []
        try:
            async with asyncio.timeout(seconds):
                if self.target.api_base is not None:
                    await self.gate.admit_resolved(self.target.api_base)
                if request.on_text is None:
                    return self._whole(await load().acompletion(**call), request.params.get("service_tier"))
                return await self._streamed(request, call, said)
        except TimeoutError:
            text = f"{self.target.model}: no answer within {seconds:.4g} s (timeout.total)"
            failed: LlmctlError = ProviderTimeout(text, billed="unknown")
        except LlmctlError as error:
            failed = error
        except _Heard as heard:
            raise heard.error from None
        except Exception as error:  # noqa: BLE001 - litellm passes on what its providers' libraries raise
            failed = from_litellm(error, self.target.model, key)
        self._keep(failed, said)
        raise failed

    async def close(self) -> None:
        await load().close_litellm_async_clients()

    def _seconds(self, request: Request) -> float:
        total = self.target.timeouts.total
        return (
            total if request.deadline is None else max(0.0, min(total, request.deadline - time.monotonic()))
        )

    def _call(self, request: Request, key: str | None) -> dict[str, Any]:
        call = self._params.mapped(request)[0]
        call |= {
            "model": self.target.model,
            "messages": copy.deepcopy(list(request.messages)),
            "num_retries": 0,
            "max_retries": 0,
            "_skip_mcp_handler": True,  # else any tool needs a package that litellm does not bring
            "timeout": self.target.timeouts.total,  # one for all: litellm keeps a client for each it meets
        }
        if key is not None:
            call["api_key"] = key
        if self.target.api_base is not None:
            call["api_base"] = self.target.api_base
        if self.target.headers:
            call["extra_headers"] = dict(self.target.headers)
        if request.on_text is not None:
            call |= {"stream": True, "stream_options": {"include_usage": True}}
        return call

    def _whole(self, made: Any, service: object) -> Response:
        if not made.choices:
            raise BrokenAnswer(f"{self.target.model}: an answer without choices", billed="unknown")
        message, finish = made.choices[0].message, made.choices[0].finish_reason
        told = getattr(made, "usage", None)
        usage = usage_of_litellm(told)
        return Response(
            text=message.content or "",
            model=answering(self.target, made.model),
            finish_reason=finish or "unknown",
            usage=served(usage, getattr(made, "service_tier", None), service),
            billed=billed(usage, tells(told), said=bool(message.content or message.tool_calls)),
            reasoning=getattr(message, "reasoning_content", None) or None,
            tool_calls=tuple(tool_call(call) for call in message.tool_calls or ()),
        )

    async def _streamed(self, request: Request, call: dict[str, Any], said: list[LitellmPieces]) -> Response:
        started, ttft = time.monotonic(), None
        stream = await load().acompletion(**call)
        pieces = LitellmPieces(self.target, request.params.get("service_tier"))
        said.append(pieces)
        async for chunk in stream:
            text = pieces.take(chunk)
            if text and request.on_text is not None:
                ttft = ttft or time.monotonic() - started
                _tell(request.on_text, text)
        if not any(getattr(chunk, "usage", None) for chunk in stream.chunks):
            pieces.usage = None  # what litellm gave instead are its own guesses
        if stream.received_finish_reason is None and stream.intermittent_finish_reason is None:
            raise BrokenStream(f"{self.target.model}: the stream broke off before its end", billed="unknown")
        return replace(pieces.response(), ttft=ttft)

    def _keep(self, failed: LlmctlError, said: list[LitellmPieces]) -> None:
        """What had come of a stream goes with its error, and may be billed."""
        if said:
            failed.billed = "unknown" if failed.billed == "no" else failed.billed
            failed.response = failed.response or replace(said[0].response(), finish_reason="broken")


class _Heard(Exception):
    """The listener's own failure: a closed pipe or a bug of the caller's is none of the provider's."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _tell(listener: OnText, text: str) -> None:
    try:
        listener(text)
    except Exception as error:  # noqa: BLE001  # raised again, as it is, beyond what is litellm's
        raise _Heard(error) from None


class LitellmPieces:
    """The chunks of one of litellm's own streams."""

    def __init__(self, target: Target, service: object = None) -> None:
        self.target = target
        self.service = service
        self.pieces = Pieces()
        self.finish_reason: str | None = None
        self.usage: Any = None
        self.model: str | None = None

    def take(self, chunk: Any) -> str:
        self.usage = getattr(chunk, "usage", None) or self.usage
        self.model = getattr(chunk, "model", None) or self.model
        if not chunk.choices:
            return ""
        self.finish_reason = chunk.choices[0].finish_reason or self.finish_reason
        return self.pieces.add(chunk.choices[0].delta)

    def response(self) -> Response:
        usage = usage_of_litellm(self.usage)
        return Response(
            text="".join(self.pieces.texts),
            model=answering(self.target, self.model),
            finish_reason=self.finish_reason or "unknown",
            usage=served(usage, None, self.service),
            billed=billed(usage, tells(self.usage), said=bool(self.pieces.texts or self.pieces.tools)),
            reasoning="".join(self.pieces.reasoning) or None,
            tool_calls=self.pieces.tools,
        )
