"""What goes through the pipeline: a frozen Request down, a frozen Response (or an error) up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from llmctl.core.errors import Billed
from llmctl.core.money import Nanos

Message = Mapping[str, Any]
"""A chat message in OpenAI's format: {"role", "content", …}."""

PROFILE_ONLY = frozenset(
    {"api_key", "api_base", "base_url", "api_version", "organization", "headers", "extra_headers"}
    | {"default_headers", "timeout", "num_retries", "max_retries", "custom_llm_provider"}
)
"""Where a request goes, with which key and how often is the profile's to say, never a parameter's."""
NOT_PARAMS = PROFILE_ONLY | {"model", "messages", "prompt"}

CacheMode = Literal["use", "refresh", "off"]
OnText = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; `total` covers all attempts of a call and the waits between them."""

    connect: float = 10.0
    first: float = 30.0
    idle: float = 30.0
    total: float = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """Which model to ask, where and with which keys. `keys` are references, never keys."""

    name: str
    model: str
    provider: str
    api_base: str | None = None
    keys: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    timeouts: Timeouts = Timeouts()

    @property
    def bare_model(self) -> str:
        """The model's name without its provider, as the provider's own API wants it."""
        return self.model.partition("/")[2]


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """A model that is asked next where an answer fails its check, with what it is asked with."""

    target: Target
    params: Mapping[str, Any] = field(default_factory=dict)
    defaults: frozenset[str] = frozenset()


@dataclass(frozen=True, repr=False)
class Request:
    """One question. `params` are the model parameters in OpenAI's names, as they will be sent."""

    target: Target
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    defaults: frozenset[str] = frozenset()
    """Names of `params` that nobody asked for: dropped where a model does not take them."""
    schema: Mapping[str, Any] | None = None
    climb: tuple[Step, ...] = ()
    """The rest of the profile's cascade, where no model was named."""
    cache: CacheMode = "use"
    on_text: OnText | None = None
    heard: bool = True
    """Whether someone sees what `on_text` is given: then nothing is asked again once there was some."""
    cot: bool = False
    """Whether the answer stands apart from the steps that were asked for."""
    renderer: Any = None
    """What made the messages of a template (`prompts.render.Renderer`): for checks, never sent."""
    keep_body: bool = False
    """Whether the answer's own JSON is wanted too (`Response.body`)."""
    deadline: float | None = None
    """Monotonic seconds after which the call is given up, whatever attempt it is in."""
    key: str | None = None
    """The reference of the key to use, never the key."""
    stand_in: bool = False
    """Whether another model answers where this one cannot: then its recovery is not waited for."""
    probe: bool = False
    """Whether this is the one request that finds out if a provider is back."""
    fingerprint: str = ""
    """The identity's hash once it is known (`core.canonical`); cleared when the target changes."""
    call: int = 0
    """The call's number in the ledger."""
    reserved: Nanos | None = None
    """What is reserved for this attempt under a budget: its cost, where the real one stays unknown."""
    on_sent: Callable[[], None] | None = None
    """Called right before the attempt goes out; what it raises keeps the attempt from going."""
    tag: str | None = None
    run_id: str = ""
    profile: str = ""

    @property
    def template(self) -> str | None:
        """The name of the template that made the messages."""
        return self.renderer.template.name if self.renderer is not None else None


def later(request: Request, seconds: float) -> Request:
    """The request with a deadline so much later, where it has one."""
    if request.deadline is None or not seconds:
        return request
    return replace(request, deadline=request.deadline + seconds)


class Usage(NamedTuple):
    """Tokens. Every kind is part of the input or of the output, never besides it.

    Of the input: `cached_tokens` (of which `cached_audio_tokens`), `cache_write_tokens` (of which
    `cache_write_1h_tokens` are kept for an hour), and the uncached `audio_input_tokens` and
    `image_input_tokens`. Of the output: `reasoning_tokens`, `audio_output_tokens`, `image_output_tokens`.
    `service` is the service tier that it is billed at; None is the standard one. `searches` counts
    searches of the web, which are no tokens and are billed besides them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    service: str | None = None
    searches: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider says it still takes: `left` requests or tokens until it is whole again in `reset` s."""

    tokens: bool
    left: float
    reset: float


class Attempt(NamedTuple):
    """One request that went out: for the ledger, and for what may have been billed."""

    model: str
    started: float
    latency: float
    error: str | None = None
    status: int | None = None
    billed: Billed = "yes"
    cost: Nanos | None = 0


@dataclass(frozen=True, repr=False)
class Response:
    """An answer. `cost` None means the price is unknown; `ttft` seconds to the first token."""

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    parsed: Any = None
    cost: Nanos | None = 0
    saved: Nanos | None = 0
    cached: Literal["exact", "semantic", "shared"] | None = None
    latency: float = 0.0
    ttft: float | None = None
    tried: tuple[Attempt, ...] = ()
    warnings: tuple[str, ...] = ()
    instead_of: str | None = None
    """The model that was asked, where a fallback answered in its place: such an answer is not stored."""
    billed: Billed = "yes"
    """`unknown` where what the provider says of its usage cannot be true, or it said nothing at all."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The last answer's headers, lower-case: rate limits are learned from them."""
    body: Mapping[str, Any] | None = None
    """The provider's own JSON, where it speaks OpenAI's format and the request asked to keep it."""
    redactor: Any = field(default=None, compare=False)
    """The `privacy.redact.Redactor` that put values in their places here: a journal takes them out again."""

    @property
    def attempts(self) -> int:
        """How many requests went out for this answer; 0 for a cache hit."""
        return len(self.tried)


Value = TypeVar("Value", Request, Response)


def replace(value: Value, **changes: Any) -> Value:
    """A copy with some fields changed: `dataclasses.replace`, at a fifth of its cost for these two."""
    copy = object.__new__(type(value))
    fields = copy.__dict__
    fields.update(value.__dict__)
    fields.update(changes)
    return copy


def fill(value: Value, **changes: Any) -> Value:
    """The value itself with some fields set, for whoever has just made it: nobody else may hold it yet."""
    value.__dict__.update(changes)
    return value


_BLANK = Response("", "")


def answer(**fields: Any) -> Response:
    """A Response with these fields, at a third of what its constructor takes for two dozen of them."""
    return replace(_BLANK, **fields)


Send = Callable[[Request], Awaitable[Response]]
"""The one abstraction: a stage is a Send that wraps a Send."""
