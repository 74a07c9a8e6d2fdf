"""Every status, error body and cause becomes the right error; no body shows a key."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import ssl
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from yarl import URL

from llmctl.core import errors
from llmctl.core.errors import (
    AuthError,
    BadRequest,
    BrokenAnswer,
    CertificateError,
    ConfigError,
    ConnectionFailed,
    ContentRefused,
    ContextTooLong,
    Forbidden,
    LlmctlError,
    ModelNotFound,
    ProviderTimeout,
    QuotaExhausted,
    RateLimited,
    Redirected,
    ServerError,
    UnknownHost,
)
from llmctl.core.ports import HttpCall
from llmctl.providers.classify import from_error_object, from_exception, from_status, retry_after, shown
from llmctl.providers.direct import Direct

MODEL = "openai/gpt-4o-mini"
NOW = 1_800_000_000.0
RPC = "type.googleapis.com/google.rpc."


def openai(message: str, type_: str | None = None, code: str | int | None = None) -> Any:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def anthropic(message: str, type_: str) -> Any:
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_1"}


def gemini(message: str, code: int, status: str, *details: Any) -> Any:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def quota(name: str) -> Any:
    return {"@type": RPC + "QuotaFailure", "violations": [{"quotaId": name}]}


def of(status: int, body: Any = b"", headers: Any = None) -> LlmctlError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_status(status, headers or {}, raw, MODEL)


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_has_a_meaning(status: int) -> None:
    """A status that falls through would be a traceback, or worse, a retry of something final."""
    error = of(status)
    wanted = {
        401: (AuthError, 4),
        402: (QuotaExhausted, 4),
        403: (Forbidden, 4),
        404: (ModelNotFound, 7),
        408: (ServerError, 5),
        409: (ServerError, 5),
        425: (ServerError, 5),
        429: (RateLimited, 5),
    }
    by_class = {3: (Redirected, 7), 4: (BadRequest, 7), 5: (ServerError, 5)}
    kind, code = wanted.get(status, by_class[status // 100])
    assert type(error) is kind
    assert (error.exit_code, error.status, error.billed) == (code, status, "no")
    assert error.retryable is (code == 5)
    assert MODEL in error.message and str(status) in error.message


BODIES: list[tuple[int, Any, type[LlmctlError]]] = [
    # OpenAI and those who speak it
    (400, openai("x", "invalid_request_error", "context_length_exceeded"), ContextTooLong),
    (400, openai("This model's maximum context length is 8192 tokens."), ContextTooLong),
    (400, openai("x", "invalid_request_error", "content_policy_violation"), ContentRefused),
    (400, openai("x", None, "content_filter"), ContentRefused),
    (400, openai("The request was rejected by our safety system."), ContentRefused),
    (
        400,
        openai("Your prompt was flagged as potentially violating our usage policy.", None, "invalid_prompt"),
        ContentRefused,
    ),
    (400, openai("Incorrect API key provided", "invalid_request_error"), AuthError),
    (401, openai("Incorrect API key provided", "invalid_request_error", "invalid_api_key"), AuthError),
    (429, openai("x", "insufficient_quota", "insufficient_quota"), QuotaExhausted),
    (429, openai("Billing hard limit has been reached", None, "billing_hard_limit_reached"), QuotaExhausted),
    (429, openai("Your account is not active, please check your billing details"), QuotaExhausted),
    (
        429,
        openai(
            "Rate limit reached on requests per min. Please try again in 20s. Visit /account/billing to add "
            "a payment method.",
            "requests",
            "rate_limit_exceeded",
        ),
        RateLimited,
    ),
    (404, openai("The model `x` does not exist", "invalid_request_error", "model_not_found"), ModelNotFound),
    (400, openai("Model Not Exist", "invalid_request_error", "invalid_request_error"), ModelNotFound),
    (402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), QuotaExhausted),
    (400, openai("Content Exists Risk", "invalid_request_error"), ContentRefused),
    (503, openai("The engine is currently overloaded", "server_error", "overloaded"), ServerError),
    (500, openai("Please check your billing", "server_error"), ServerError),
    # Azure
    (
        400,
        {
            "error": {
                "message": "x",
                "code": "content_filter",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        ContentRefused,
    ),
    # Anthropic
    (
        400,
        anthropic("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
        ContextTooLong,
    ),
    (
        400,
        anthropic("Your credit balance is too low to access the Anthropic API.", "invalid_request_error"),
        QuotaExhausted,
    ),
    (
        400,
        anthropic("You have reached your specified API usage limits.", "invalid_request_error"),
        QuotaExhausted,
    ),
    (400, anthropic("Output blocked by content filtering policy", "invalid_request_error"), ContentRefused),
    (401, anthropic("invalid x-api-key", "authentication_error"), AuthError),
    (402, anthropic("There is an issue with your billing.", "billing_error"), QuotaExhausted),
    (403, anthropic("Your API key does not have permission", "permission_error"), Forbidden),
    (404, anthropic("model: x", "not_found_error"), ModelNotFound),
    (413, anthropic("Request exceeds the maximum size", "request_too_large"), BadRequest),
    (429, anthropic("This request would exceed your rate limit", "rate_limit_error"), RateLimited),
    (529, anthropic("Overloaded", "overloaded_error"), ServerError),
    # Gemini
    (400, gemini("API key not valid. Please pass a valid API key.", 400, "INVALID_ARGUMENT"), AuthError),
    (
        400,
        gemini("x", 400, "INVALID_ARGUMENT", {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID"}),
        AuthError,
    ),
    (
        400,
        gemini(
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            400,
            "INVALID_ARGUMENT",
        ),
        ContextTooLong,
    ),
    (
        429,
        gemini("You exceeded your current quota, check billing", 429, "RESOURCE_EXHAUSTED"),
        QuotaExhausted,
    ),
    (
        429,
        gemini("You exceeded your current quota", 429, "RESOURCE_EXHAUSTED", quota("RequestsPerDay")),
        QuotaExhausted,
    ),
    (
        429,
        gemini(
            "You exceeded your current quota",
            429,
            "RESOURCE_EXHAUSTED",
            quota("GenerateRequestsPerMinutePerProject"),
            {"@type": RPC + "RetryInfo", "retryDelay": "37s"},
        ),
        RateLimited,
    ),
    (
        429,
        gemini("Your project has exceeded its monthly spending cap.", 429, "RESOURCE_EXHAUSTED"),
        QuotaExhausted,
    ),
    (429, gemini("Resource has been exhausted (e.g. check quota).", 429, "RESOURCE_EXHAUSTED"), RateLimited),
    (404, [gemini("models/x is not found", 404, "NOT_FOUND")], ModelNotFound),
    (503, gemini("The model is overloaded.", 503, "UNAVAILABLE"), ServerError),
    # Mistral, FastAPI
    (
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        ModelNotFound,
    ),
    (
        422,
        {"object": "error", "message": {"detail": [{"loc": ["body", "top_p"], "msg": "too big"}]}},
        BadRequest,
    ),
    (422, {"detail": [{"loc": ["body", "billing"], "msg": "insufficient quota"}]}, BadRequest),
    (429, {"message": "Requests rate limit exceeded"}, RateLimited),
    # Cohere, gateways, Ollama, llama.cpp, plain text
    (429, {"message": "You are using a Trial key, which is limited to 10 API calls / minute."}, RateLimited),
    (402, {"error": {"code": 402, "message": "This request requires more credits"}}, QuotaExhausted),
    (404, {"error": 'model "x" not found, try pulling it first'}, ModelNotFound),
    (429, {"error": "you have reached your weekly usage limit"}, QuotaExhausted),
    (400, {"error": "the input length (9) exceeds the context length (8)"}, ContextTooLong),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
            }
        },
        ContextTooLong,
    ),
    (500, {"error": "llama runner process has terminated"}, ServerError),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": "prompt is too long"},
            }
        },
        ContextTooLong,
    ),
    (400, b"Bad Request", BadRequest),
    (429, b"Too many requests", RateLimited),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", ServerError),
    (400, b"\xff\xfe\x00", BadRequest),
    (400, b'{"error": {"message": "cut', BadRequest),
    (400, b"[" * 100_000, BadRequest),
    (400, b"null", BadRequest),
    (400, b"[]", BadRequest),
    (400, {"error": None, "detail": 7}, BadRequest),
]


@pytest.mark.parametrize(("status", "body", "kind"), BODIES, ids=range(len(BODIES)))
def test_bodies_of_every_house_are_read(status: int, body: Any, kind: type[LlmctlError]) -> None:
    """A quota taken for a rate limit is retried for nothing; a policy taken for a fault is sent again."""
    error = of(status, body)
    assert type(error) is kind, error.message
    assert "\n" not in error.message and len(error.message) < 400


def test_messages_say_what_the_provider_said() -> None:
    """The user needs the provider's own reason, not only our name for it."""
    assert (
        "top_p: too big"
        in of(422, {"message": {"detail": [{"loc": ["body", "top_p"], "msg": "too big"}]}}).message
    )
    assert "502 Bad Gateway" in of(502, b"<html><title>502 Bad Gateway</title>").message
    assert "no reason given" in of(500).message
    assert "llmctl models list" in of(404).hint
    assert of(429).hint == RateLimited.advice
    error = of(302, b"", {"Location": "https://user:pw@elsewhere.example/x?token=1"})
    assert "elsewhere.example" in error.message and "pw" not in error.message and "token" not in error.message


OBJECTS: list[tuple[Any, type[LlmctlError], int | None]] = [
    (anthropic("Overloaded", "overloaded_error"), ServerError, 529),
    (anthropic("x", "rate_limit_error"), RateLimited, 429),
    (anthropic("x", "api_error"), ServerError, 500),
    (openai("x", "insufficient_quota", "insufficient_quota"), QuotaExhausted, 402),
    (openai("x", "invalid_request_error", "invalid_api_key"), AuthError, 401),
    (openai("x", "invalid_request_error", "context_length_exceeded"), ContextTooLong, 400),
    (openai("x", None, 429), RateLimited, 429),
    (openai("x", "server_error"), ServerError, 500),
    (gemini("x", 503, "UNAVAILABLE"), ServerError, 503),
    ({"code": 400, "message": "x", "status": "INVALID_ARGUMENT"}, BadRequest, 400),
    ({"error": "an error was encountered while running the model"}, ServerError, None),
    ("something", ServerError, None),
    (None, ServerError, None),
]


@pytest.mark.parametrize(("obj", "kind", "status"), OBJECTS, ids=range(len(OBJECTS)))
def test_error_objects_go_by_their_kind(obj: Any, kind: type[LlmctlError], status: int | None) -> None:
    """Faults 10 and 18: an error inside a 200 must not pass for an answer; in a stream it may be billed."""
    error = from_error_object(obj, MODEL)
    assert (type(error), error.status, error.billed) == (kind, status, "no")
    assert from_error_object(obj, MODEL, streamed=True).billed == "unknown"


def http_date(seconds: float) -> str:
    return formatdate(NOW + seconds, usegmt=True)


WAITS: list[tuple[dict[str, str], Any, float | None]] = [
    ({"Retry-After": "7"}, None, 7),
    ({"retry-after": "1.5"}, None, 1.5),
    ({"Retry-After": "0"}, None, 0),
    ({"Retry-After": "3600"}, None, 3600),
    ({"Retry-After": http_date(30)}, None, 30),
    ({"Retry-After": http_date(-30)}, None, None),
    ({"Retry-After": "-5"}, None, None),
    ({"Retry-After": "nan"}, None, None),
    ({"Retry-After": "inf"}, None, None),
    ({"Retry-After": "soon"}, None, None),
    ({"Retry-After": ""}, None, None),
    ({"Retry-After": str(int(NOW) + 12)}, None, 12),
    ({"retry-after-ms": "250", "Retry-After": "1"}, None, 0.25),
    ({"retry-after-ms": "x", "Retry-After": "1"}, None, 1),
    ({"x-ratelimit-reset-requests": "6m0s"}, None, 360),
    ({"x-ratelimit-reset-requests": "1h2m3.5s"}, None, 3723.5),
    ({"x-ratelimit-reset-tokens": "250ms"}, None, 0.25),
    ({"x-ratelimit-reset-tokens": "1s", "x-ratelimit-reset-requests": "8m"}, None, 1),
    (
        {
            "x-ratelimit-reset-tokens": "1s",
            "x-ratelimit-remaining-tokens": "900",
            "x-ratelimit-reset-requests": "8m",
            "x-ratelimit-remaining-requests": "0",
        },
        None,
        480,
    ),
    ({"x-ratelimit-reset-requests": "8m", "Retry-After": "2"}, None, 2),
    ({"X-RateLimit-Reset": str(int(NOW * 1000) + 5000)}, None, 5),
    ({"X-RateLimit-Reset": str(int(NOW) + 9)}, None, 9),
    ({"ratelimit-reset": "11"}, None, 11),
    ({"anthropic-ratelimit-requests-reset": "2027-01-15T08:00:20Z"}, None, 20),
    ({"anthropic-ratelimit-requests-reset": "2027-01-15T07:00:00Z"}, None, None),
    (
        {
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:40+00:00",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:01Z",
        },
        None,
        40,
    ),
    ({}, gemini("x", 429, "RESOURCE_EXHAUSTED", {"@type": RPC + "RetryInfo", "retryDelay": "37s"}), 37),
    ({}, gemini("x", 429, "RESOURCE_EXHAUSTED", {"@type": RPC + "RetryInfo", "retryDelay": "0.5s"}), 0.5),
    ({}, gemini("x", 429, "RESOURCE_EXHAUSTED", {"@type": RPC + "RetryInfo", "retryDelay": "-3s"}), None),
    ({}, openai("Rate limit reached. Please try again in 6m1.5s. Visit …"), 361.5),
    ({}, openai("Please try again in 20ms."), 0.02),
    ({}, {"retryDelay": ["x"]}, None),
    ({}, None, None),
]


@pytest.mark.parametrize(("headers", "body", "wanted"), WAITS, ids=range(len(WAITS)))
def test_waits_in_all_their_forms(headers: dict[str, str], body: Any, wanted: float | None) -> None:
    """Faults 45-49: a wait that is misread hammers the provider, or stops a batch for nothing."""
    found = retry_after(headers, body, NOW)
    assert found == (pytest.approx(wanted, abs=1e-3) if wanted is not None else None)


def test_waits_are_on_the_error() -> None:
    """Retry reads the wait off the error; headers of a full minute's window say nothing about a 503."""
    assert of(429, b"", {"Retry-After": "7"}).retry_after == 7
    assert of(503, b"", {"Retry-After": "7"}).retry_after == 7
    assert of(503, b"", {"x-ratelimit-reset-requests": "6m"}).retry_after is None
    assert of(429, b"", {"x-ratelimit-reset-requests": "6m"}).retry_after == 360
    assert of(429, gemini("x", 429, "R", {"@type": "RetryInfo", "retryDelay": "37s"})).retry_after == 37
    assert of(400, b"", {"Retry-After": "7"}).retry_after is None
    assert from_error_object(openai("try again in 3s", None, "rate_limit_exceeded"), MODEL).retry_after == 3


KEYS = [
    "sk-" + "x" * 20,
    "sk-proj-" + "a1B2" * 10,
    "sk-ant-api03-" + "aB3_" * 12,
    "sk-proj-" + "*" * 24 + "ab12",
    "gsk_" + "q9" * 20,
    "AIza" + "Sy9_" * 9,
    "xai-" + "k2" * 20,
    "hf_" + "Z8" * 16,
    "0123abcd" * 4,
    "a1b2c3d4" * 5,
    "01234567-89ab-cdef-0123-456789abcdef",
    "eyJ" + "hbGciOi9" * 6 + "." + "x1" * 20,
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["Incorrect API key provided: {}. You can", "bad key '{}'", "{}", "Bearer {} x", "k={}\n"]
)
def test_keys_are_masked(key: str, around: str) -> None:
    """OpenAI repeats the key in its 401; a CI log is no place for it."""
    assert key not in shown(around.format(key))
    assert key not in of(401, openai(around.format(key))).message
    assert key not in of(401, around.format(key).encode()).message


def test_the_key_that_was_sent_is_masked_whatever_it_looks_like() -> None:
    """A home-made gateway's key may be any word."""
    error = from_status(401, {}, b'{"error": "who is opensesame?"}', MODEL, secret="opensesame")
    assert "opensesame" not in error.message and "who is" in error.message
    assert "opensesame" not in from_error_object("no opensesame", MODEL, secret="opensesame").message
    caught = from_exception(ValueError("bad header opensesame"), MODEL, True, True, secret="opensesame")
    assert "opensesame" not in str(caught) and "opensesame" not in caught.message


@pytest.mark.parametrize(
    "text",
    [
        "The model `claude-sonnet-4-5-20250929` does not exist",
        "accounts/fireworks/models/llama-v3p1-405b-instruct not found",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
        "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "max_tokens: 8192 > 4096, which is the maximum for this token limit",
        "token count exceeds the limit",
        "the connection, its configuration and its compression are compatible",
    ],
)
def test_what_is_no_key_stays_readable(text: str) -> None:
    """Masking must not eat the model's name or the numbers that tell what to do."""
    assert shown(text) == text


def test_messages_are_one_safe_line() -> None:
    """A provider's text must not move the cursor, forge a second line, or fill the log."""
    assert shown("a\nb\r\n\x1b[31mc\x00\u202ed\u2028e") == "a b [31mc d e"
    assert len(shown("x y " * 1000)) == 300
    assert shown("\ud83d half") == "half"


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def made(kind: type[Any]) -> Any:
    """An instance, whatever the class wants to be told."""
    info = aiohttp.RequestInfo(URL("http://h:1"), "POST", {}, URL("http://h:1"))  # type: ignore[arg-type]
    key: Any = type("Key", (), {"host": "h.example", "port": 1, "ssl": True, "is_ssl": True})()
    choices: list[tuple[Any, ...]] = [
        (key, OSError(111, "Connection refused")),
        ("/sock", key, OSError(2, "x")),
        (info, ()),
        (b"x", b"y", "h.example", 1),
        (),
        ("x",),
        ("x", "y"),
        (key, ssl.SSLCertVerificationError("x")),
    ]
    if issubclass(kind, client_exceptions.ClientConnectorCertificateError):
        return kind(key, ssl.SSLCertVerificationError("x"))
    if issubclass(kind, client_exceptions.ServerFingerprintMismatch):
        return kind(b"x", b"y", "h.example", 1)
    for choice in choices:
        try:
            error = kind(*choice)
            str(error), repr(error)
        except (TypeError, AttributeError):
            continue
        return error
    raise AssertionError(f"do not know how to make {kind}")


FOREIGN = sorted(
    {
        *(each for each in vars(client_exceptions).values() if inspect.isclass(each)),
        *(each for each in vars(http_exceptions).values() if inspect.isclass(each)),
        *subclasses(aiohttp.ClientError),
        *subclasses(http_exceptions.HttpProcessingError),
        *(each for each in subclasses(OSError) if each.__module__ in ("builtins", "socket", "ssl")),
    },
    key=lambda each: (each.__module__, each.__name__),
)
FOREIGN = [
    each
    for each in FOREIGN
    if issubclass(each, aiohttp.ClientError | http_exceptions.HttpProcessingError | OSError)
]


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda each: each.__name__)
@pytest.mark.parametrize(("sent", "started"), [(False, False), (True, False), (True, True)])
def test_every_exception_of_the_wire_is_translated(kind: type[Any], sent: bool, started: bool) -> None:
    """An exception of a new aiohttp that nobody thought of would be reported as a bug in llmctl."""
    error = from_exception(made(kind), MODEL, sent, started)
    assert type(error) in set(subclasses(errors.LlmctlError))
    assert MODEL in error.message and "\n" not in error.message
    assert error.__cause__ is not None


def test_causes_are_told_apart() -> None:
    """Faults 1-5, 12, 27-29: what to retry, what may be billed, and which host to name."""
    key: Any = type("Key", (), {"host": "h.example", "port": 443, "ssl": True, "is_ssl": True})()

    def told(error: BaseException, sent: bool = True, started: bool = False) -> tuple[type, str, str]:
        found = from_exception(error, MODEL, sent, started)
        return type(found), found.billed, found.message

    refused = aiohttp.ClientConnectorError(key, OSError(111, "Connection refused"))
    assert told(refused, False)[:2] == (ConnectionFailed, "no")
    assert "h.example:443" in told(refused, False)[2] and "refused" in told(refused, False)[2]
    unknown = aiohttp.ClientConnectorDNSError(key, socket.gaierror(-2, "Name or service not known"))
    assert told(unknown, False)[0] is UnknownHost and "h.example" in told(unknown, False)[2]
    wrong = aiohttp.ClientConnectorCertificateError(key, ssl.SSLCertVerificationError("expired"))
    assert told(wrong, False)[:2] == (CertificateError, "no")
    assert told(aiohttp.ServerDisconnectedError())[:2] == (ConnectionFailed, "unknown")
    assert told(ConnectionResetError(104, "reset"))[:2] == (ConnectionFailed, "unknown")
    assert told(ConnectionResetError(104, "reset"), True, True)[:2] == (BrokenAnswer, "unknown")
    assert told(aiohttp.ClientPayloadError("cut"), True, True)[:2] == (BrokenAnswer, "unknown")
    broken = aiohttp.ClientPayloadError("gzip")
    broken.__cause__ = http_exceptions.ContentEncodingError("gzip")
    assert told(broken, True, True)[:2] == (BrokenAnswer, "no")
    assert told(aiohttp.ConnectionTimeoutError(), False)[:2] == (ProviderTimeout, "no")
    assert told(TimeoutError())[:2] == (ProviderTimeout, "unknown")
    assert told(aiohttp.SocketTimeoutError(), True, True)[:2] == (ProviderTimeout, "unknown")
    assert told(aiohttp.InvalidURL("http://["), False)[0] is ConfigError
    assert told(json.JSONDecodeError("x", "y", 0), True, True)[:2] == (BrokenAnswer, "unknown")


def test_bugs_and_cancellations_pass_through() -> None:
    """A bug must be seen as one, and a cancelled task must stay cancelled."""
    for error in (asyncio.CancelledError(), KeyError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            from_exception(error, MODEL, True, False)
    ours = BrokenAnswer("x")
    assert from_exception(ours, MODEL, True, True) is ours


async def failure_of(url: str, **options: Any) -> LlmctlError:
    """What a real request to that address ends in."""
    try:
        async with aiohttp.ClientSession() as session, session.post(url, data=b"{}", **options) as answer:
            await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return from_exception(error, MODEL, sent=True, started=False)
    raise AssertionError("it answered")


def test_real_refusals() -> None:
    """The exceptions as the real aiohttp raises them: a closed port, an unknown host, a talker of no HTTP."""

    async def run() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        assert type(await failure_of(f"http://127.0.0.1:{port}")) is ConnectionFailed
        unknown = await failure_of("http://no-such-host.invalid")
        assert type(unknown) is UnknownHost and "no-such-host.invalid" in unknown.message

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-nonsense\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert type(await failure_of(f"http://127.0.0.1:{port}")) is BrokenAnswer
        assert type(await failure_of(f"https://127.0.0.1:{port}")) is ConnectionFailed
        server.close()

    asyncio.run(run())


@pytest.mark.parametrize(("packing", "billed"), [("br", "unknown"), ("zstd", "unknown"), ("gzip", "no")])
def test_an_answer_in_a_compression_nobody_asked_for(packing: str, billed: str) -> None:
    """Without br and zstd a whole answer may be unreadable here: what it cost is not given back."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {packing}\r\nContent-Length: 8\r\n\r\n"
        writer.write(head.encode() + b"unzipped")
        await writer.drain()
        writer.close()

    async def run() -> LlmctlError:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        call = HttpCall(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {}, b"{}")
        async with aiohttp.ClientSession() as session:
            direct = Direct(session)
            try:
                until = asyncio.get_running_loop().time() + 5
                reply = await direct.post(call, aiohttp.ClientTimeout(), until, whole=False)
                await reply.content.read()  # type: ignore[union-attr]  # no answer by itself where it is not whole
            except Exception as error:  # noqa: BLE001  # whatever it is
                return from_exception(error, MODEL, sent=True, started=False)
            finally:
                direct.close()
                server.close()
        raise AssertionError("it was read")

    found = asyncio.run(run())
    assert (type(found), found.billed) == (BrokenAnswer, billed)
    assert "compression" in found.message
