"""A call as OpenTelemetry's semantic conventions for generative AI name its parts.

github.com/open-telemetry/semantic-conventions-genai; `gen_ai.system` is the older name of
`gen_ai.provider.name`, which many receivers still look for. What they have no name for is `llmctl.…`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from llmctl.core.errors import LlmctlError
from llmctl.core.model import Attempt, Message, Request, Response, Target
from llmctl.core.money import to_usd

Attributes = dict[str, Any]

PROVIDERS = {
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""litellm's names of providers to those of the conventions, where they differ."""
PARAMS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
PORTS = {"https": 443, "http": 80}


def shared(request: Request) -> Attributes:
    """What spans and metrics of a call have in common."""
    target = request.target
    provider = PROVIDERS.get(target.provider, target.provider)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.system": provider,
        "gen_ai.request.model": target.bare_model or target.model,
        **_server(target),
    }


def _server(target: Target) -> Attributes:
    try:
        parts = urlsplit(target.api_base or "")
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return {}
    if not parts.hostname:
        return {}
    return {"server.address": parts.hostname, **({"server.port": port} if port else {})}


def asked(request: Request) -> Attributes:
    """What was asked for, without a word of it."""
    found: Attributes = {
        name: value
        for param, name in PARAMS.items()
        if isinstance(value := request.params.get(param), int | float) and not isinstance(value, bool)
    }
    stop = request.params.get("stop")
    if stop:
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(map(str, stop))
    found["gen_ai.output.type"] = "json" if request.schema else "text"
    found |= {
        "llmctl.run_id": request.run_id,
        "llmctl.call_id": str(request.call),
        "llmctl.profile": request.profile,
    }
    if request.on_text is not None:
        found["gen_ai.request.stream"] = True
    if request.tag is not None:
        found["llmctl.tag"] = request.tag
    return found


def answered(outcome: Response | BaseException) -> Attributes:
    """How it ended: tokens and money of what was asked of a provider, none for a hit."""
    if not isinstance(outcome, Response):
        return {"error.type": error_type(outcome)}
    found: Attributes = {
        "gen_ai.response.model": outcome.model.rpartition("/")[2],
        "gen_ai.response.finish_reasons": [outcome.finish_reason],
        "llmctl.cached": outcome.cached or "no",
        "llmctl.attempts": outcome.attempts,
    }
    if outcome.cached:
        if outcome.saved is not None:
            found["llmctl.saved_usd"] = to_usd(outcome.saved)
        return found
    usage = outcome.usage
    found |= {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    if outcome.ttft is not None:
        found["gen_ai.response.time_to_first_chunk"] = outcome.ttft
    if outcome.cost is not None:
        found["llmctl.cost_usd"] = to_usd(outcome.cost)
    return found


def clean(found: Attributes) -> Attributes:
    """Without halves of signs that no UTF-8 has, which would cost the spans sent together with them."""
    return {name: _clean(value) if isinstance(value, str) else value for name, value in found.items()}


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def error_type(error: BaseException) -> str:
    return error.type if isinstance(error, LlmctlError) else type(error).__name__


def attempted(attempt: Attempt, number: int) -> Attributes:
    """One request that went out, counted from 1."""
    found: Attributes = {
        "llmctl.attempt": number,
        "llmctl.model": attempt.model,
        "llmctl.billed": attempt.billed,
        "http.request.method": "POST",
        "http.request.resend_count": number - 1,
    }
    if attempt.status is not None:
        found["http.response.status_code"] = attempt.status
    if attempt.cost is not None:
        found["llmctl.cost_usd"] = to_usd(attempt.cost)
    if attempt.error is not None:
        found["error.type"] = attempt.error
    return found


def texts(request: Request, outcome: Response | BaseException) -> Attributes:
    """What was said, as it left: redacted where the profile redacts. Only where it is asked for."""
    system = [part for each in request.messages if each.get("role") == "system" for part in _parts(each)]
    said = [
        {"role": str(each.get("role")), "parts": _parts(each)}
        for each in request.messages
        if each.get("role") != "system"
    ]
    found = {"gen_ai.input.messages": _json(said)}
    if system:
        found["gen_ai.system_instructions"] = _json(system)
    if isinstance(outcome, Response):
        answer = {
            "role": "assistant",
            "parts": [{"type": "text", "content": outcome.text}],
            "finish_reason": outcome.finish_reason,
        }
        found["gen_ai.output.messages"] = _json([answer])
    return found


def _parts(message: Message) -> list[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    parts = content if isinstance(content, list) else []
    return [
        {"type": "text", "content": part["text"]} if "text" in part else {"type": str(part.get("type"))}
        for part in parts
        if isinstance(part, dict)
    ]


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half a sign that no UTF-8 has
        import json

        return json.dumps(value)
