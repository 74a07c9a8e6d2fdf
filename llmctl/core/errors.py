"""Every error that llmctl raises on purpose, with its exit code.

LlmctlError                      1   (never raised itself)
├── UsageError                   2   wrong option or value
├── ConfigError                  3   profile, template, schema, input
│   ├── ForbiddenAddress         3   a cloud's metadata service, or http:// beyond this machine
│   ├── StorageError             3   disk, ledger, journal, output in use
│   └── MissingExtra             3   an optional dependency is not installed
├── AccountError                 4   the provider refused the key, permission or account
│   ├── AuthError                    401, or no key at all
│   ├── Forbidden                    403
│   └── QuotaExhausted               402, or a 429 that speaks of quota or a spend limit
├── ProviderError                5   no usable answer in time
│   ├── ConnectionFailed             refused, reset
│   │   └── UnknownHost
│   ├── ProviderTimeout              connect, first byte, idle or total
│   ├── RateLimited                  429
│   ├── ServerError                  408, 409, 425, 5xx
│   ├── BrokenAnswer                 HTML, cut JSON, nothing, no choices
│   │   ├── BrokenStream             cut, stalled or malformed
│   │   └── OversizedAnswer          longer than the cap
│   └── BreakerOpen                  known to be down, not asked
├── BudgetError                  6   a budget or --max-cost would be passed
├── RequestRefused               7   the request itself is at fault
│   ├── BadRequest                   400, 413, 422 and other 4xx
│   ├── ModelNotFound                404
│   ├── ContextTooLong
│   ├── ContentRefused               content policy, or finish reason content_filter
│   ├── PromptRefused                by the profile's checks, before anything was sent
│   ├── Redirected                   3xx, never followed to another host
│   └── CertificateError             the server's certificate is not valid
├── CheckFailed                  8   the answer (or prompt) failed a check
│   ├── EmptyAnswer
│   ├── SchemaMismatch
│   └── UnsafeAnswer                 secrets or forbidden words, with `block`
├── RowsFailed                   9   the batch finished, some rows failed
├── AlertRaised                  10  an alert rule is broken
└── Interrupted             129/130/143
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from llmctl.core.model import Attempt, Response

Billed = Literal["no", "yes", "unknown"]


class LlmctlError(Exception):
    """What went wrong, what to do next, and what a script needs to know about it.

    `status` is the provider's HTTP status, `retry_after` seconds from now that the provider asked
    to wait, `billed` whether the failed attempt may cost money, `response` what was understood of
    an answer that was judged unusable (its usage and cost count), `tried` every attempt so far,
    `waited` the seconds of the last one before it went out that are no part of the call's total.
    """

    type = "error"
    exit_code = 1
    retryable = False
    advice = ""
    most_attempts: int | None = None
    """Fewer attempts than the profile allows, where more would be pointless."""
    may_show = True
    """Whether the text of `response` may be shown."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        billed: Billed = "no",
        response: Response | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.advice if hint is None else hint
        self.status = status
        self.retry_after = retry_after
        self.billed: Billed = billed
        self.response = response
        self.tried: tuple[Attempt, ...] = ()
        self.waited = 0.0

    def envelope(self) -> dict[str, Any]:
        """The `error` object of the JSON envelope; `retry_after_s` in seconds.

        `partial` is there only where some text had come before it failed.
        """
        from llmctl.core.hidden import mask

        shown = self.response.text if self.response and self.may_show else ""
        partial = {"partial": shown} if shown else {}
        return {
            "type": self.type,
            "message": mask(self.message),
            "hint": mask(self.hint) or None,
            "status": self.status,
            "retryable": self.retryable,
            "retry_after_s": None if self.retry_after is None else round(self.retry_after, 3),
            "exit_code": self.exit_code,
            **partial,
        }


def tried_of(error: BaseException) -> tuple[Attempt, ...]:
    """The attempts that an error ended, also one that is not ours: a cancellation, a closed pipe."""
    tried: tuple[Attempt, ...] = getattr(error, "tried", ())
    return tried


def add_tried(error: BaseException, earlier: tuple[Attempt, ...]) -> None:
    """Puts earlier attempts before those that the error knows of."""
    vars(error)["tried"] = earlier + tried_of(error)


class UsageError(LlmctlError):
    type = "usage"
    exit_code = 2
    advice = "see --help"


class ConfigError(LlmctlError):
    type = "config"
    exit_code = 3


class ForbiddenAddress(ConfigError):
    type = "address"


class StorageError(ConfigError):
    type = "storage"


class MissingExtra(ConfigError):
    """An optional dependency is needed; `extra` names what to install."""

    type = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'", hint=f"pip install 'llmctl[{extra}]'")


class AccountError(LlmctlError):
    type = "account"
    exit_code = 4


class AuthError(AccountError):
    type = "auth"
    advice = "check the key: llmctl keys status, llmctl doctor"


class Forbidden(AccountError):
    type = "forbidden"
    advice = "the key lacks the permission for this model or account"


class QuotaExhausted(AccountError):
    type = "quota_exhausted"
    advice = "the account's quota or spend limit is used up; raise it at the provider or use another key"


class ProviderError(LlmctlError):
    type = "provider"
    exit_code = 5
    retryable = True
    advice = "try again later"


class ConnectionFailed(ProviderError):
    type = "connection"
    advice = "check the address (api_base) and the network"


class ConnectionDropped(ConnectionFailed):
    """A kept connection had been given up by the server: it says nothing of whether that is up."""


class UnknownHost(ConnectionFailed):
    type = "unknown_host"
    advice = "check the host's name in api_base"
    most_attempts = 2


class ProviderTimeout(ProviderError):
    type = "timeout"
    advice = "raise timeout in the profile, or try again later"


class RateLimited(ProviderError):
    type = "rate_limit"
    advice = "slow down: set limits.rpm, or try again later"


class ServerError(ProviderError):
    type = "server_error"


class BrokenAnswer(ProviderError):
    type = "broken_answer"


class BrokenStream(BrokenAnswer):
    type = "broken_stream"


class OversizedAnswer(BrokenAnswer):
    type = "oversized_answer"
    retryable = False
    advice = "ask for less, or raise max_answer_bytes in the profile"


class BreakerOpen(ProviderError):
    type = "breaker_open"
    retryable = False


class BudgetError(LlmctlError):
    type = "budget"
    exit_code = 6
    advice = "see llmctl budget"
    narrow: frozenset[str] = frozenset()
    """What the budget or the missing price is of (tag, model, provider): requests with another may fit."""


class RequestRefused(LlmctlError):
    type = "refused"
    exit_code = 7


class BadRequest(RequestRefused):
    type = "bad_request"
    advice = "the provider does not take this request: change its parameters (-O, params) or its prompt"


class ModelNotFound(RequestRefused):
    type = "model_not_found"


class ContextTooLong(RequestRefused):
    type = "context_too_long"
    advice = "shorten the prompt (llmctl prompt optimize) or pick a model with a larger context"


class ContentRefused(RequestRefused):
    type = "content_refused"
    advice = "the provider's content policy refused it; rephrase or use another model"


class PromptRefused(RequestRefused):
    type = "prompt_refused"


class Redirected(RequestRefused):
    type = "redirected"
    advice = "a key is never sent on to another address; set api_base to the final one"


class CertificateError(RequestRefused):
    type = "certificate"
    advice = "certificates are always checked; mend the server's, or name its CA with SSL_CERT_FILE"


class CheckFailed(LlmctlError):
    type = "check_failed"
    exit_code = 8


class EmptyAnswer(CheckFailed):
    type = "empty_answer"
    advice = "the model answered without text; raise max_tokens or rephrase"


class SchemaMismatch(CheckFailed):
    type = "schema_mismatch"


class UnsafeAnswer(CheckFailed):
    type = "unsafe_answer"
    may_show = False


class RowsFailed(LlmctlError):
    type = "rows_failed"
    exit_code = 9


class AlertRaised(LlmctlError):
    type = "alert"
    exit_code = 10


class Interrupted(LlmctlError):
    """Ended by a signal: exit code 128 + its number."""

    type = "interrupted"

    def __init__(
        self, signum: int, message: str = "interrupted", *, hint: str | None = None, billed: Billed = "no"
    ) -> None:
        super().__init__(message, hint=hint, billed=billed)
        self.exit_code = 128 + signum
