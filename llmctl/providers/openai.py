"""OpenAI's chat format, which is also our own: the codec is little more than the identity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from llmctl.core.errors import BadRequest, Billed, BrokenAnswer, BrokenStream
from llmctl.core.model import Request, Response, Target, Usage, replace
from llmctl.core.model import answer as made
from llmctl.core.ports import HttpCall
from llmctl.providers import classify, halves
from llmctl.providers.catalog import house
from llmctl.providers.usage import from_openai, served

REASONING = re.compile(r"(o[1-9]|gpt-5(?!-chat)|codex)")
"""OpenAI's own models that take `max_completion_tokens` and no sampling parameters."""
SAMPLING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
)
NO_USAGE = Usage(estimated=True)


class OpenAICodec:
    """`POST {base}/chat/completions`, for OpenAI and all that speak its language."""

    def __init__(self, target: Target) -> None:
        assert target.api_base is not None
        self.url = target.api_base.rstrip("/") + "/chat/completions"
        if "?" in target.api_base:
            base, _, query = target.api_base.partition("?")
            self.url = f"{base.rstrip('/')}/chat/completions?{query}"
        self.reasoning = target.provider in ("openai", "azure") and bool(REASONING.match(target.bare_model))
        self.house = house(target.provider)
        self.model = self.house.wire_model(target.bare_model)
        self.headers = target.headers
        self._known: tuple[str | None, Mapping[str, str]] = None, self._fields(None)

    def encode(self, request: Request, key: str | None) -> HttpCall:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": request.messages,
        }
        body.update(self._params(request))
        if request.schema is not None:
            body["response_format"] = response_format(request.schema)
        if request.on_text is not None:
            body["stream"] = True
            if not self.house.plainstream:
                body["stream_options"] = {"include_usage": True}
        known, headers = self._known
        if key != known:
            headers = self._fields(key)
            self._known = key, headers
        return HttpCall(self.url, headers, orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS))

    def _fields(self, key: str | None) -> Mapping[str, str]:
        """The request's headers: the same object for the same key."""
        headers = {"Content-Type": "application/json", "User-Agent": "llmctl", **self.headers}
        return headers if key is None else {**headers, "Authorization": f"Bearer {key}"}

    def _params(self, request: Request) -> Mapping[str, Any]:
        if not self.reasoning:
            return request.params
        params = dict(request.params)
        for name in SAMPLING:
            if name not in params:
                continue
            if name not in request.defaults and params[name] not in (None, 1, 1.0):
                raise BadRequest(
                    f"{request.target.model} does not take {name} (it reasons before it answers)",
                    hint=f"leave {name} out: set it to null in the model's params",
                )
            del params[name]
        if "max_tokens" in params:
            params.setdefault("max_completion_tokens", params.pop("max_tokens"))
        return params

    def decode(self, request: Request, body: bytes) -> Response:
        answer = load(body, request.target.model)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(first := choices[0], dict):
            raise BrokenAnswer(f"{request.target.model}: an answer without choices", billed="unknown")
        message = first.get("message")
        if not isinstance(message, dict):
            raise BrokenAnswer(f"{request.target.model}: a choice without a message", billed="unknown")
        content, tools = message.get("content"), message.get("tool_calls") or ()
        if tools and not (isinstance(tools, list) and all(isinstance(call, dict) for call in tools)):
            raise BrokenAnswer(f"{request.target.model}: tool calls that are none", billed="unknown")
        usage = from_openai(answer.get("usage"))
        return made(
            text=text_of(content),
            model=answering(request.target, answer.get("model")),
            finish_reason=_word(first.get("finish_reason")) or "unknown",
            usage=served(usage or NO_USAGE, answer.get("service_tier"), request.params.get("service_tier")),
            reasoning=_word(message.get("reasoning_content")) or _word(message.get("reasoning")),
            tool_calls=tuple(tools),
            billed=billed(usage, answer.get("usage"), said=content is not None or bool(tools)),
            body=answer if request.keep_body else None,
        )

    def stream(self, request: Request) -> OpenAIStream:
        return OpenAIStream(request)


class OpenAIStream:
    """Puts the chunks of one stream together."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self.tools: dict[int, dict[str, Any]] = {}
        self.index: int | None = None
        self.held: halves.Held | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.told: Any = None
        self.said = self.null = False
        self.model: str | None = None
        self.service: Any = None

    def feed(self, data: bytes) -> str:
        try:
            chunk = orjson.loads(data)
        except ValueError:
            chunk = self._halved(data)
        if not isinstance(chunk, dict):
            raise self.broken("an event of the stream is no object")
        if chunk.get("error"):
            raise classify.from_error_object(chunk["error"], self.request.target.model, streamed=True)
        if chunk.get("usage"):
            self.told = chunk["usage"]
            self.usage = from_openai(self.told)
        self.model = chunk.get("model") or self.model
        self.service = chunk.get("service_tier") or self.service
        choices = chunk.get("choices")
        try:
            if not choices:
                return ""
            choice = choices[0]
            return self._choice(choice if choice.get("index") == self.index else self._same(choices))
        except (TypeError, AttributeError, LookupError):  # some part of it is not of its kind
            raise self.broken("a malformed event in the stream") from None

    def _halved(self, data: bytes) -> Any:
        """An event that holds half a sign; from then on pieces are joined."""
        try:
            chunk = halves.loads(data)
        except ValueError:
            raise self.broken("a malformed event in the stream") from None
        self.held = self.held or halves.Held()
        return chunk

    def _same(self, choices: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Of several answers (`n`) the one that began first, as of a whole answer the first."""
        if self.index is None:
            self.index = choices[0].get("index")
        return next((each for each in choices if each.get("index") in (None, self.index)), {})

    def _choice(self, choice: Mapping[str, Any]) -> str:
        self.finish_reason = _word(choice.get("finish_reason")) or self.finish_reason
        delta = choice.get("delta")
        if not delta:
            return ""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought:
            self.reasoning.append("" + thought)
        for call in delta.get("tool_calls") or ():
            self._tool(call)
        text = delta.get("content")
        if text is None:
            self.null = self.null or "content" in delta
            return ""
        self.said = True
        if text.__class__ is list:
            text = text_of(text)
        if self.held is not None:
            text = self.held.take(text)
        self.texts.append("" + text)
        return str(text)

    def _tool(self, call: Mapping[str, Any]) -> None:
        index = call.get("index")
        if not isinstance(index, int):
            index = self._place(call)
        whole = self.tools.setdefault(
            index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        whole["id"] = call.get("id") or whole["id"]
        for name, part in (call.get("function") or {}).items():
            if isinstance(part, str):
                whole["function"][name] = whole["function"].get(name, "") + part

    def _place(self, call: Mapping[str, Any]) -> int:
        """Where a piece without an index belongs: a new id begins a call, as does a name without any."""
        name, last = call.get("id"), next(reversed(self.tools), None)
        if name:
            last = next((index for index, each in self.tools.items() if each["id"] == name), None)
        elif (call.get("function") or {}).get("name"):
            last = None
        return max(self.tools, default=-1) + 1 if last is None else last

    def _spoke(self) -> bool:
        """Whether there was a text; many begin with an empty one, which a null afterwards takes back."""
        return any(self.texts) or (self.said and not self.null)

    def broken(self, what: str) -> BrokenStream:
        return BrokenStream(f"{self.request.target.model}: {what}", billed="unknown", response=self.partial())

    def finish(self) -> Response:
        if self.finish_reason is None:
            raise self.broken("the stream broke off before its end")
        return self.partial()

    def partial(self) -> Response:
        made = self._made()
        return made if self.held is None else self._whole(made, self.held)

    def _whole(self, made: Response, held: halves.Held) -> Response:
        tools = tuple(map(halves.whole, made.tool_calls))
        text, reasoning = made.text + halves.whole(held.half), halves.whole(made.reasoning)
        return replace(made, text=text, reasoning=reasoning, tool_calls=tools)

    def _made(self) -> Response:
        return Response(
            text="".join(self.texts),
            model=answering(self.request.target, self.model),
            finish_reason=self.finish_reason or "broken",
            usage=served(self.usage or NO_USAGE, self.service, self.request.params.get("service_tier")),
            reasoning="".join(self.reasoning) or None,
            tool_calls=tuple(self.tools[index] for index in sorted(self.tools)),
            billed=billed(self.usage, self.told, said=self._spoke() or bool(self.tools)),
        )


def load(body: bytes, model: str) -> dict[str, Any]:
    """The JSON object of an answer. BrokenAnswer for HTML, cut JSON, nothing, null or a list."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = _halved(body, model)
    if not isinstance(answer, dict):
        kind = "null" if answer is None else "a list" if isinstance(answer, list) else "a bare value"
        raise BrokenAnswer(
            f"{model}: the answer is {kind}, no object", hint="not what is expected: look at api_base"
        )
    if answer.get("error"):
        raise classify.from_error_object(answer["error"], model)
    return answer


def _halved(body: bytes, model: str) -> Any:
    """An answer that holds half a sign; BrokenAnswer where it is no JSON."""
    try:
        return halves.whole(halves.loads(body))
    except ValueError:
        raise _not_json(body, model) from None


def _not_json(body: bytes, model: str) -> BrokenAnswer:
    start = body[:200].lstrip().lower()
    if not start:
        return BrokenAnswer(
            f"{model}: a 200 with an empty body", hint="not what is expected: look at api_base"
        )
    if start.startswith(b"<"):
        return BrokenAnswer(f"{model}: a web page instead of an answer", hint="not an API: look at api_base")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return BrokenAnswer(f"{model}: the answer is not UTF-8")
    return BrokenAnswer(f"{model}: the answer's JSON is cut or malformed", billed="unknown")


def billed(usage: Usage | None, told: Any, *, said: bool) -> Billed:
    """`yes` where something was said and its usage is believed, or none was told."""
    believed = usage is not None and not usage.estimated
    return "yes" if said and (believed or not told) else "unknown"


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def text_of(content: Any) -> str:
    """Text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_word(part.get("text")) or "" for part in content if isinstance(part, dict))
    return ""


def answering(target: Target, model: Any) -> str:
    """The model that answered, with its provider; the asked one where the answer does not say."""
    if not isinstance(model, str) or not model or model in (target.bare_model, target.model):
        return target.model
    return f"{target.provider}/{model}"


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in OpenAI's form; `strict` where the schema allows it."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))[:64]
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": is_strict(schema)},
    }


def is_strict(schema: Any) -> bool:
    """Whether every object names all its properties as required and allows no others."""
    if isinstance(schema, list):
        return all(is_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and (
        schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties)
    ):
        return False
    return all(is_strict(value) for value in schema.values())
