"""What comes over the wire, made our errors: the one place where that is decided.

Statuses, error objects (inside a 200 or a stream) and the causes of a failed exchange end here.
Codes that a provider gives beat its words, and its words beat the bare status.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from llmctl.core.errors import (
    AuthError,
    BadRequest,
    Billed,
    BrokenAnswer,
    CertificateError,
    ConfigError,
    ConnectionDropped,
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
from llmctl.providers.told import Told, read, shown, understand
from llmctl.providers.waits import retry_after

__all__ = ["from_error_object", "from_exception", "from_status", "retry_after", "shown"]

MODEL_ADVICE = "check the model's name (llmctl models list) and the address (api_base)"

ACCEPTED = ("gzip", "deflate")
"""Compressions that requests ask for. In another (br, zstd) an answer may be whole, and paid for."""

_AUTH_CODES = {
    "invalid_api_key", "authentication_error", "api_key_invalid", "unauthenticated", "unauthorized",
    "invalid_authentication",
}  # fmt: skip
_AUTH_WORDS = (
    "api key not valid", "incorrect api key", "invalid api key", "invalid x-api-key", "api key expired",
    "api key not found", "invalid authentication", "no api key", "missing api key",
)  # fmt: skip
_QUOTA_CODES = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance",
    "insufficient_credits", "billing_error", "quota_exceeded", "access_terminated", "payment_required",
    "arrearage", "account_overdue_error", "monthly_spend_limit_exceeded", "exceeded_current_quota_error",
}  # fmt: skip
_QUOTA_WORDS = (
    "current quota", "insufficient quota", "quota exceeded", "exceeded your quota", "exceeded your monthly",
    "credit balance", "insufficient balance", "insufficient credit", "insufficient fund", "out of credit",
    "more credits", "spend limit", "spending limit", "spending cap", "usage limit", "payment required",
    "account is not active", "billing is", "billing has", "issue with your billing",
)  # fmt: skip
_RATE_CODES = {"rate_limit_exceeded", "rate_limit_error", "rate_limited", "requests", "tokens"}
_CONTEXT_CODES = {"context_length_exceeded", "context_window_exceeded", "exceed_context_size_error"}
_CONTEXT_WORDS = (
    "maximum context length", "prompt is too long", "context length exceeded", "exceeds the context length",
    "exceed context limit", "exceeds the maximum number of tokens", "context window", "context size",
    "input is too long", "too many tokens", "maximum prompt length", "input token count", "context limit",
    "longer than the model's context length", "input tokens exceed", "maximum input length", "while limit is",
    "`inputs` tokens + `max_new_tokens`", "too large for model with",
)  # fmt: skip
_POLICY_CODES = {
    "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "content_filtered",
    "content_policy", "moderation_blocked", "data_inspection_failed", "sensitive_content", "safety",
    "prohibited_content", "image_content_policy_violation",
}  # fmt: skip
_POLICY_WORDS = (
    "content policy", "content filter", "content management policy", "content moderation", "safety system",
    "safety settings", "usage policy", "usage policies", "usage guidelines", "content exists risk",
    "blocked by policy", "flagged as", "requires moderation", "prohibited content",
)  # fmt: skip
_MODEL_CODES = {"model_not_found", "not_found_error", "model_not_exist", "invalid_model"}
_MODEL_WORDS = ("model not exist", "invalid model", "model not found", "unknown model", "does not exist")

# Names that stand for a status where there is none: error objects in a 200 or a stream.
_NAMED = {
    "invalid_request_error": 400, "invalid_argument": 400, "failed_precondition": 400, "bad_request": 400,
    "authentication_error": 401, "invalid_api_key": 401, "unauthenticated": 401, "billing_error": 402,
    "insufficient_quota": 402, "permission_error": 403, "permission_denied": 403, "not_found_error": 404,
    "not_found": 404, "model_not_found": 404, "request_too_large": 413, "rate_limit_error": 429,
    "rate_limit_exceeded": 429, "resource_exhausted": 429, "too_many_requests": 429, "api_error": 500,
    "server_error": 500, "internal": 500, "internal_error": 500, "internal_server_error": 500,
    "unavailable": 503, "service_unavailable": 503, "deadline_exceeded": 504, "timeout_error": 504,
    "overloaded_error": 529, "overloaded": 529, "context_length_exceeded": 400, "content_filter": 400,
    "content_policy_violation": 400,
}  # fmt: skip


def from_status(
    status: int, headers: Mapping[str, str], body: bytes, model: str, secret: str | None = None
) -> LlmctlError:
    """The error of an answer whose HTTP status is not 200.

    `model` is the name to show, `secret` the key that was sent (never shown). `retry_after` of the
    error is set where the provider asked to wait. Nothing of this kind is billed.
    """
    told = read(body)
    if 300 <= status < 400:
        return _redirected(status, headers, model)
    return _error(_kind(status, told), status, told, model, headers=headers, secret=secret)


def from_error_object(
    obj: Any, model: str, *, streamed: bool = False, secret: str | None = None
) -> LlmctlError:
    """The error of an error object in a 200 (`{"error": …}`, or what stands in its `error`).

    Inside a stream (`streamed`) some of it may have been billed. What cannot be told apart is the
    provider's fault: ServerError.
    """
    told = understand(obj)
    named = (_NAMED[code] for code in told.codes if code in _NAMED)
    status = told.status or max(named, default=None)
    billed: Billed = "unknown" if streamed else "no"
    return _error(_kind(status or 500, told), status, told, model, billed=billed, secret=secret)


def _error(
    kind: type[LlmctlError],
    status: int | None,
    told: Told,
    model: str,
    *,
    headers: Mapping[str, str] | None = None,
    billed: Billed = "no",
    secret: str | None = None,
) -> LlmctlError:
    wait = None
    if kind.retryable or kind is QuotaExhausted:
        wait = retry_after(headers or {}, told.json or told.message, limited=status == 429)
    said = shown(told.message, secret) or "no reason given"
    where = f"HTTP {status}" if headers is not None and status else "an error inside the answer"
    hint = MODEL_ADVICE if kind is ModelNotFound else None
    return kind(f"{model}: {said} ({where})", status=status, hint=hint, retry_after=wait, billed=billed)


def _redirected(status: int, headers: Mapping[str, str], model: str) -> Redirected:
    target = next((value for name, value in headers.items() if name.lower() == "location"), "")
    try:
        host = urlsplit(target).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    to = f" to {shown(host)}" if host else ""
    return Redirected(f"{model}: the answer is a redirect{to} (HTTP {status})", status=status)


def _kind(status: int, told: Told) -> type[LlmctlError]:
    if 400 <= status < 500 or status == 500:
        reason = _reason(status, told)
        if reason is not None:
            return reason
    by_status: dict[int, type[LlmctlError]] = {
        401: AuthError, 402: QuotaExhausted, 403: Forbidden, 404: ModelNotFound, 408: ServerError,
        409: ServerError, 425: ServerError, 429: RateLimited,
    }  # fmt: skip
    if status in by_status:
        return by_status[status]
    if 400 <= status < 500:
        return BadRequest
    return ServerError if status >= 500 else BrokenAnswer


def _reason(status: int, told: Told) -> type[LlmctlError] | None:
    """The kind by what is told, where that is more than the status says."""
    if status in (400, 403, 413, 422, 500) and (told.codes & _CONTEXT_CODES or told.says(*_CONTEXT_WORDS)):
        return ContextTooLong
    if status in (400, 403, 422, 451, 500) and (told.codes & _POLICY_CODES or told.says(*_POLICY_WORDS)):
        return ContentRefused
    if status in (400, 403) and (told.codes & _AUTH_CODES or told.says(*_AUTH_WORDS)):
        return AuthError
    if status in (400, 403, 429) and _speaks_of_quota(status, told):
        return QuotaExhausted
    if status in (400, 422) and (
        told.codes & _MODEL_CODES or (told.says("model") and told.says(*_MODEL_WORDS))
    ):
        return ModelNotFound
    return None


def _speaks_of_quota(status: int, told: Told) -> bool:
    """Used up for good, as against too many a minute (Google says "quota" to both, OpenAI links billing)."""
    if told.codes & _QUOTA_CODES or any("perday" in code or "permonth" in code for code in told.codes):
        return True
    if told.codes & _RATE_CODES or retry_after({}, told.json) is not None:
        return False
    return told.says(*_QUOTA_WORDS) or (status == 429 and told.says("billing"))


def from_exception(
    error: BaseException, model: str, sent: bool, started: bool, secret: str | None = None
) -> LlmctlError:
    """The error of an exchange that failed: aiohttp's exceptions, the system's, time-outs.

    `sent`: the request went out whole, so it may be billed. `started`: the answer's head has come.
    What is none of the wire's troubles (a bug, a cancellation) is raised again as it is.
    """
    if isinstance(error, LlmctlError):
        return error
    billed: Billed = "unknown" if sent or started else "no"
    found = _connecting(error, model) or _exchanging(error, model, billed, started)
    if found is None:
        _again(error)
    found.message = shown(found.message, secret)
    found.args = (found.message,)
    found.__cause__ = error
    return found


def _again(error: BaseException) -> NoReturn:
    raise error


def _connecting(error: BaseException, model: str) -> LlmctlError | None:
    """Troubles before anything was sent: nothing is billed."""
    import socket
    import ssl

    import aiohttp

    host = getattr(error, "host", None)
    to = f"{host}:{getattr(error, 'port', '')}" if host else "the server"
    certificate = (
        ssl.SSLCertVerificationError,
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ServerFingerprintMismatch,
    )
    if isinstance(error, certificate) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
        reason = getattr(getattr(error, "certificate_error", error), "verify_message", "") or "not trusted"
        return CertificateError(f"{model}: the certificate of {to} is refused: {reason}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ProviderTimeout(f"{model}: no connection in time")
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return UnknownHost(f"{model}: the host {host or 'of api_base'} is unknown (DNS)")
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return ConnectionFailed(f"{model}: the proxy refuses the connection ({error.__class__.__name__})")
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionRefusedError):
        return ConnectionFailed(f"{model}: no connection to {to}: {_why(error)}")
    if isinstance(error, aiohttp.TooManyRedirects | aiohttp.RedirectClientError):
        return Redirected(f"{model}: the answer is a redirect")
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return ConfigError(
            f"{model}: its address is not valid", hint="check api_base: it is http://… or https://…"
        )
    return None


def _exchanging(error: BaseException, model: str, billed: Billed, started: bool) -> LlmctlError | None:
    """Troubles while sending, waiting or reading."""
    import aiohttp
    from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

    from llmctl.providers.direct import Dropped

    if isinstance(error, TimeoutError):
        what = "the answer stopped coming" if started else "no answer in time"
        return ProviderTimeout(f"{model}: {what}", billed=billed)
    packed = next((each for each in (error, error.__cause__) if isinstance(each, ContentEncodingError)), None)
    if packed is not None:
        if packed.message.endswith(ACCEPTED):  # what came was never an answer of the provider's
            return BrokenAnswer(f"{model}: the answer's compression is broken")
        unread = "the answer comes in a compression that was not asked for"
        return BrokenAnswer(f"{model}: {unread}", billed=billed)
    cut = (aiohttp.ClientPayloadError, EOFError)
    if isinstance(error, cut):
        return BrokenAnswer(f"{model}: the answer was cut short", billed=billed)
    lost = (aiohttp.ClientConnectionError, aiohttp.UploadAbortedError, OSError)
    if isinstance(error, lost) and started:
        return BrokenAnswer(f"{model}: the connection broke inside the answer", billed=billed)
    if isinstance(error, lost):
        kind = ConnectionDropped if isinstance(error, Dropped) else ConnectionFailed
        return kind(f"{model}: the connection broke before an answer: {_why(error)}", billed=billed)
    if isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        return BrokenAnswer(f"{model}: the answer is not HTTP, or not as long as it says", billed=billed)
    if isinstance(error, aiohttp.ClientError | ValueError):
        return BrokenAnswer(f"{model}: the answer is not understood: {_why(error)}", billed=billed)
    return None


def _why(error: BaseException) -> str:
    """The system's own word for it, in one line."""
    told = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    if not isinstance(told, str):  # half an answer's head, of which aiohttp makes a message
        told = "the server hung up"
    number = getattr(error, "errno", None)
    if number and str(told).startswith("Connect call failed"):  # asyncio's words in place of the system's
        told = os.strerror(number)
    return told.splitlines()[0] if told.strip() else error.__class__.__name__
