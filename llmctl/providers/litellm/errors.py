"""litellm's exceptions made ours: by the HTTP answer behind them, else by their cause, last by class.

Its classes lie (a refused connection, a missing key and cut JSON all come as a 500), so a class
decides only where nothing else is known. Never imports litellm: classes are told by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmctl.core.errors import (
    AuthError,
    BadRequest,
    Billed,
    BrokenAnswer,
    CertificateError,
    ConfigError,
    ConnectionFailed,
    ContentRefused,
    ContextTooLong,
    LlmctlError,
    ProviderTimeout,
)
from llmctl.providers.classify import from_status
from llmctl.providers.told import shown

_CAUSES: tuple[tuple[type[LlmctlError], Billed, str, frozenset[str]], ...] = (
    (CertificateError, "no", "its certificate is refused", frozenset({"SSLCertVerificationError"})),
    (ProviderTimeout, "no", "no connection in time", frozenset({"ConnectTimeout", "PoolTimeout"})),
    (
        ConnectionFailed,
        "no",
        "no connection",
        frozenset({"gaierror", "ConnectionRefusedError", "ConnectError", "EndpointConnectionError",
                   "ClientConnectorError", "ProxyError"}),
    ),
    (
        ProviderTimeout,
        "unknown",
        "no answer in time",
        frozenset({"TimeoutException", "TimeoutError", "Timeout", "APITimeoutError", "ReadTimeoutError"}),
    ),
    (
        BrokenAnswer,
        "unknown",
        "the answer is not understood",
        frozenset({"JSONDecodeError", "DecodingError", "UnicodeDecodeError", "ValidationError",
                   "APIResponseValidationError"}),
    ),
    (
        ConnectionFailed,
        "unknown",
        "the connection broke before an answer",
        frozenset({"NetworkError", "ProtocolError", "ConnectionError", "ClientConnectionError"}),
    ),
    (AuthError, "no", "no credentials", frozenset({"NoCredentialsError", "PartialCredentialsError",
                                                   "GoogleAuthError", "DefaultCredentialsError"})),
    (ConfigError, "no", "a package is missing", frozenset({"ImportError"})),
)  # fmt: skip
"""(kind, billed, what happened, names of classes that mean it); the first that fits counts."""

_WORDS: tuple[tuple[type[LlmctlError], Billed, tuple[str, ...]], ...] = (
    (CertificateError, "no", ("certificate_verify_failed", "certificate verify failed")),
    (
        ConnectionFailed,
        "no",
        ("cannot connect to host", "connection refused", "name or service not known", "connect call failed"),
    ),
    (
        BrokenAnswer,
        "unknown",
        ("unable to get json", "error converting to valid", "expecting value", "invalid json"),
    ),
    (
        AuthError,
        "no",
        ("api_key client option must be set", "missing credentials", "unable to locate credentials",
         "missing api key", "api key - a call is being made"),
    ),
    (ConnectionFailed, "unknown", ("connection error", "server disconnected", "connection reset")),
)  # fmt: skip

_KINDS: Mapping[str, tuple[type[LlmctlError], Billed]] = {
    "ContextWindowExceededError": (ContextTooLong, "no"),
    "ContentPolicyViolationError": (ContentRefused, "no"),
    "RejectedRequestError": (ContentRefused, "no"),
    "GuardrailRaisedException": (ContentRefused, "no"),
    "BlockedPiiEntityError": (ContentRefused, "no"),
    "UnsupportedParamsError": (BadRequest, "no"),
    "LiteLLMUnknownProvider": (ConfigError, "no"),
    "ModelNotMappedError": (ConfigError, "no"),
    "APIResponseValidationError": (BrokenAnswer, "unknown"),
    "Timeout": (ProviderTimeout, "unknown"),
    "APIConnectionError": (ConnectionFailed, "unknown"),
}
"""Classes that say more than their status."""

_STATUS: Mapping[str, int] = {
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "PaymentRequiredError": 402,
    "BadRequestError": 400,
    "InternalServerError": 500,
}

_PREFIX = re.compile(r"\A(?:litellm\.\w+: |\w+(?:Exception|Error)(?: -|:) |Error code: \d+ - )+")
_OWN_HOSTS = ("litellm.ai", "docs.litellm.ai", "cloud.google.com")


def from_litellm(error: BaseException, model: str, secret: str | None = None) -> LlmctlError:
    """Our error for one that came out of litellm; `secret` is the key that was sent."""
    if isinstance(error, LlmctlError):
        return error
    chain = list(_chain(error))
    for each in chain:
        answer = _answer(each)
        if answer is not None:
            return from_status(*answer, model=model, secret=secret)
    found = (
        _by_cause(chain, model, secret) or _by_words(error, model, secret) or _by_class(error, model, secret)
    )
    found.__cause__ = error
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, latest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < 12:
        seen.add(id(error))
        original = getattr(error, "original_exception", None)
        yield error
        error = original if isinstance(original, BaseException) else error.__cause__ or error.__context__


def _names(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}


def _answer(error: BaseException) -> tuple[int, Mapping[str, str], bytes] | None:
    """Status, headers and body of a real HTTP answer that the error holds (litellm makes up others)."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if not isinstance(status, int) or status < 300:
        return None
    try:
        host, body = str(response.request.url.host), bytes(response.content)  # type: ignore[union-attr]
    except (RuntimeError, AttributeError, TypeError):  # no request, or a body that was never read
        return None
    if not body or host in _OWN_HOSTS:
        return None
    headers = dict(getattr(error, "litellm_response_headers", None) or {}) | dict(response.headers)  # type: ignore[union-attr]
    return status, headers, body


def _by_cause(chain: list[BaseException], model: str, secret: str | None) -> LlmctlError | None:
    deepest = chain[:0:-1] or chain  # the error itself only where it has no cause
    for each in deepest:
        names = _names(each)
        if getattr(each, "status_code", None) not in (None, 500) or "HTTPStatusError" in names:
            continue
        for kind, billed, what, known in _CAUSES:
            if kind is ConfigError and "No module named" not in str(chain[0]):
                continue  # something optional was looked for on the way
            if names & known:
                return kind(_said(model, what, each, secret), billed=billed)
    return None


def _by_words(error: BaseException, model: str, secret: str | None) -> LlmctlError | None:
    if getattr(error, "status_code", 500) != 500 and "APIConnectionError" not in _names(error):
        return None
    text = str(error).lower()
    for kind, billed, words in _WORDS:
        if any(word in text for word in words):
            return kind(_said(model, "", error, secret), billed=billed)
    return None


def _by_class(error: BaseException, model: str, secret: str | None) -> LlmctlError:
    """By the class's own meaning, else by its status and message, as an HTTP answer would be."""
    names = [each.__name__ for each in type(error).__mro__]
    message = _PREFIX.sub("", str(getattr(error, "message", None) or error))
    message = message.partition("This looks like a bug in LiteLLM")[0]
    headers = getattr(error, "litellm_response_headers", None) or getattr(error, "headers", None) or {}
    special = next((_KINDS[name] for name in names if name in _KINDS), None)
    if special is not None:
        return special[0](_said(model, "", error, secret), billed=special[1])
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 300 <= status < 600:
        status = next((_STATUS[name] for name in names if name in _STATUS), None)
    if status is None:
        return BrokenAnswer(_said(model, f"litellm failed ({names[0]})", error, secret), billed="unknown")
    return from_status(status, dict(headers), _body_in(message), model, secret)


def _body_in(message: str) -> bytes:
    """The provider's JSON out of a message that quotes it, else the message."""
    start, end = message.find("{"), message.rfind("}")
    quoted = message[start : end + 1] if 0 <= start < end else ""
    return (quoted if '"' in quoted else message).encode("utf-8", "replace")


def _said(model: str, what: str, error: Any, secret: str | None) -> str:
    told = shown(_PREFIX.sub("", str(error).partition("This looks like a bug in LiteLLM")[0]), secret)
    return f"{model}: {': '.join(filter(None, (what, told))) or type(error).__name__}"
