"""litellm's provider configurations as codecs: they write the bodies and read them, our wire sends."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from llmctl.core.errors import AuthError, BadRequest, BrokenAnswer, ConfigError, LlmctlError
from llmctl.core.model import Request, Response, Target
from llmctl.core.ports import HttpCall
from llmctl.providers import classify
from llmctl.providers.catalog import endpoint, house
from llmctl.providers.litellm.loading import load
from llmctl.providers.litellm.params import Params
from llmctl.providers.litellm.read import finish_of, service_of, speaks, tool_call, usage_of, usages_of
from llmctl.providers.litellm.stream import LitellmStream, finish_reason
from llmctl.providers.openai import answering, billed
from llmctl.providers.openai import load as load_answer
from llmctl.providers.usage import served

PLANS_KEPT = 64

_PATHS: Mapping[str, str] = {"anthropic": "/v1/messages", "cohere": "/v2/chat", "cohere_chat": "/v2/chat"}
"""What litellm adds to the base outside of the configuration that knows it."""


@dataclass(slots=True)
class Plan:
    """litellm's translation of one set of parameters, made once and used for every row that shares it."""

    params: dict[str, Any]
    json_mode: bool
    memory: dict[str, Any] = field(default_factory=dict)
    """litellm's notes between request and answer (tool names that it had to rewrite)."""


class _Quiet:
    """Stands in for litellm's log, which transformations write to and read parameters from."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.optional_params = dict(params)
        self.model_call_details: dict[str, Any] = {"optional_params": self.optional_params}

    def post_call(self, **_: Any) -> None:
        """Nothing is logged."""

    pre_call = post_call


class _Raw:
    """As much of an HTTP answer as the transformations look at."""

    status_code = 200

    def __init__(self, body: bytes, parsed: Mapping[str, Any]) -> None:
        self.headers: dict[str, str] = {}
        self._body, self._parsed = body, parsed

    @property
    def text(self) -> str:
        return self._body.decode("utf-8", "replace")

    def json(self) -> Any:
        return self._parsed


class LitellmCodec:
    """A provider's format through litellm's configuration of it, for one target.

    Raises ConfigError where litellm has none, BadRequest for parameters that the model does not take,
    AuthError without a key. Usage that the provider did not tell comes as zeros marked estimated.
    """

    def __init__(self, target: Target) -> None:
        load()
        from litellm.types.utils import LlmProviders
        from litellm.utils import ProviderConfigManager

        self.target = target
        self.house = house(target.provider)
        self.base = endpoint(target.provider, {}, target.api_base)
        self.config = ProviderConfigManager.get_provider_chat_config(
            model=target.bare_model, provider=LlmProviders(target.provider)
        )
        if self.config is None:
            raise ConfigError(f"{target.model}: litellm knows no chat format of {target.provider!r}")
        self._params = Params(target)
        self._plans: dict[bytes, Plan] = {}

    def plan(self, request: Request) -> Plan:
        streamed = self._streams(request)
        same = [request.params, sorted(request.defaults), request.schema, streamed]
        key = orjson.dumps(same, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        if key not in self._plans:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            params = self._params.mapped(request, stream=streamed, **self._usage_in_stream(streamed))[1]
            self._plans[key] = Plan(params, bool(params.pop("json_mode", False)))
        return self._plans[key]

    def _streams(self, request: Request) -> bool:
        """Whether to ask for a stream: not for tool calls of Cohere's, which litellm misreads there."""
        misread = self.target.provider in ("cohere", "cohere_chat") and "tools" in request.params
        return request.on_text is not None and not misread

    def _usage_in_stream(self, streamed: bool) -> dict[str, Any]:
        known = self.config.get_supported_openai_params(self.target.bare_model) if streamed else ()
        return {"stream_options": {"include_usage": True}} if "stream_options" in known else {}

    def encode(self, request: Request, key: str | None) -> HttpCall:
        if key is None and not self.house.keyless:
            raise AuthError(f"{self.target.model}: no key", hint=f"set {' or '.join(self.house.keys)}")
        plan = self.plan(request)
        self._refuse_fetching(request)
        params = copy.deepcopy(plan.params)
        messages = copy.deepcopy(list(request.messages))
        streamed = self._streams(request)
        try:
            headers = self._headers(key, messages, params)
            body = self._body(messages, params, plan, headers, streamed)
            headers = self._known_betas(headers)
            url = self._url(key, params, streamed)
        except Exception as error:  # noqa: BLE001 - whatever litellm's transformations raise: nothing was sent
            raise self._not_written(error, key) from None
        return HttpCall(url, headers, orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS))

    def _refuse_fetching(self, request: Request) -> None:
        """litellm would fetch a picture from its address itself, past our wire and its limits."""
        for message in request.messages:
            content = message.get("content")
            for part in content if isinstance(content, list) else ():
                image = part.get("image_url") if isinstance(part, Mapping) else None
                url = image.get("url") if isinstance(image, Mapping) else image
                if isinstance(url, str) and not url.startswith("data:"):
                    hint = "attach the picture itself: -f FILE, or a data: URL"
                    raise BadRequest(f"{self.target.model}: a picture by its address is not sent", hint=hint)

    def _headers(self, key: str | None, messages: Any, params: dict[str, Any]) -> dict[str, str]:
        own = {name.lower(): value for name, value in self.target.headers.items()}
        common = {"content-type": "application/json", "user-agent": "llmctl"}
        if self.target.provider == "gemini":
            return {**common, **own, "x-goog-api-key": key or ""}
        made = self.config.validate_environment(
            headers=dict(own),
            model=self.target.bare_model,
            messages=messages,
            optional_params=params,
            litellm_params={},
            api_key=key or "none",
            api_base=self.base,
        )
        if key is None:
            made.pop("Authorization", None)
        return {**common, **{name.lower(): value for name, value in made.items()}, **own}

    def _body(
        self, messages: Any, params: dict[str, Any], plan: Plan, headers: dict[str, str], streamed: bool
    ) -> dict[str, Any]:
        if self.target.provider == "gemini":
            from litellm.llms.vertex_ai.gemini.transformation import transform_request_body

            params.pop("stream", None)
            made = transform_request_body(
                messages=messages,
                model=self.target.bare_model,
                optional_params=params,
                custom_llm_provider="gemini",
                litellm_params=plan.memory,
                cached_content=params.pop("cached_content", None),
            )
            return dict(made)
        more = params.pop("extra_body", None) or {}
        body = self.config.transform_request(
            model=self.target.bare_model,
            messages=messages,
            optional_params=params,
            litellm_params=plan.memory,
            headers=headers,
        )
        body = {**body, **more}
        if streamed:
            body["stream"] = True
        return body

    def _known_betas(self, headers: dict[str, str]) -> dict[str, str]:
        if self.target.provider != "anthropic" or "anthropic-beta" not in headers:
            return headers
        from litellm.anthropic_beta_headers_manager import update_headers_with_filtered_beta

        return dict(update_headers_with_filtered_beta(headers=headers, provider="anthropic"))

    def _url(self, key: str | None, params: dict[str, Any], streamed: bool) -> str:
        if self.target.provider == "gemini":
            method = "streamGenerateContent?alt=sse" if streamed else "generateContent"
            return f"{self.base}/models/{self.target.bare_model}:{method}"
        if self.target.provider in _PATHS:
            return f"{self.base}{_PATHS[self.target.provider]}"
        url: str = self.config.get_complete_url(
            api_base=self.base,
            api_key=key,
            model=self.target.bare_model,
            optional_params=params,
            litellm_params={},
            stream=streamed,
        )
        return url

    def _not_written(self, error: Exception, key: str | None) -> LlmctlError:
        said = classify.shown(str(error), key)
        return BadRequest(f"{self.target.model}: the request cannot be written: {said}")

    def decode(self, request: Request, body: bytes) -> Response:
        raw = load_answer(body, self.target.model)
        plan = self.plan(request)
        finish, parts, said = finish_of(raw), [dict(part) for part in usages_of(raw)], speaks(raw)
        for name in ("usage", "usageMetadata"):  # without which litellm understands nothing
            if not isinstance(raw.get(name), dict):
                raw[name] = {}
        made = self._transformed(request, body, raw, plan)
        if not made.choices:
            raise BrokenAnswer(f"{self.target.model}: an answer without choices", billed="unknown")
        message = made.choices[0].message
        tools = tuple(tool_call(call) for call in message.tool_calls or ())
        usage = usage_of(parts)
        return Response(
            text=message.content or "",
            model=answering(self.target, made.model),
            finish_reason=finish_reason(finish, bool(tools)) if finish else "unknown",
            usage=served(usage, service_of([raw, *parts]), request.params.get("service_tier")),
            reasoning=getattr(message, "reasoning_content", None) or None,
            tool_calls=tools,
            billed=billed(usage, parts, said=said or bool(tools)),
        )

    def _transformed(self, request: Request, body: bytes, raw: dict[str, Any], plan: Plan) -> Any:
        from litellm.types.utils import ModelResponse

        try:
            return self.config.transform_response(
                model=self.target.bare_model,
                raw_response=_Raw(body, raw),
                model_response=ModelResponse(),
                logging_obj=_Quiet(plan.params),
                request_data={},
                messages=list(request.messages),
                optional_params=plan.params,
                litellm_params=plan.memory,
                encoding=None,
                json_mode=plan.json_mode,
            )
        except Exception as error:
            what = f"{type(error).__name__} in {self.target.provider}'s format"
            raise BrokenAnswer(
                f"{self.target.model}: the answer is not understood ({what})", billed="unknown"
            ) from error

    def stream(self, request: Request) -> LitellmStream:
        return LitellmStream(
            self.target, self._parser(self.plan(request)), request.params.get("service_tier")
        )

    def _parser(self, plan: Plan) -> Callable[[Any], Any]:
        """litellm's reader of one event of a stream."""
        given: dict[str, Any] = {"streaming_response": iter(()), "sync_stream": True}
        if self.target.provider == "anthropic":
            from litellm.llms.anthropic.chat.handler import ModelResponseIterator
            from litellm.llms.anthropic.chat.transformation import ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY

            names = plan.memory.get(ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY)
            reader = ModelResponseIterator(**given, json_mode=plan.json_mode, tool_name_reverse_map=names)
        elif self.target.provider == "gemini":
            from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import (
                ModelResponseIterator as GeminiIterator,
            )

            reader = GeminiIterator(**given, logging_obj=_Quiet(plan.params))
        else:
            reader = self.config.get_model_response_iterator(**given, json_mode=plan.json_mode)
        parser: Callable[[Any], Any] = reader.chunk_parser
        return parser
