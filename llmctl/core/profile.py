"""What a profile may say: one frozen class a section, every key with its default and its bounds.

The classes are the schema too: each field says in its metadata how its value is read
(`llmctl.config.schema` interprets it), so a key is declared once. They are made without `__eq__`,
`__repr__` and slots, whose making would take longer than reading a profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "number", "flag", "text", "choice", "texts", "values", "money", "duration", "section", "table", "rows"
]


@dataclass(slots=True, eq=False, repr=False)
class Rule:
    """How one key is read: its kind, bounds, and whether `null` is a value of its own."""

    kind: Kind
    low: float | None = None
    high: float | None = None
    whole: bool = False
    null: bool = False
    choices: tuple[str, ...] = ()
    of: type | None = None
    short: str | None = None
    """The key that a bare scalar stands for, where a section may be written as one."""
    required: bool = False


def _field(default: Any, rule: Rule) -> Any:
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


def number(default: float | None, low: float = 0, high: float | None = None, **more: Any) -> Any:
    return _field(default, Rule("number", low, high, null=default is None, **more))


def whole(default: int | None, low: float = 0, high: float | None = None) -> Any:
    return number(default, low, high, whole=True)


def flag(default: bool) -> Any:
    return _field(default, Rule("flag"))


def text(default: str | None, **more: Any) -> Any:
    return _field(default, Rule("text", null=default is None, **more))


def choice(default: str, *choices: str) -> Any:
    return _field(default, Rule("choice", choices=choices))


def texts(*default: str, choices: tuple[str, ...] = ()) -> Any:
    return _field(default, Rule("texts", choices=choices))


def values() -> Any:
    """A map of any JSON values, such as model parameters."""
    return _field({}, Rule("values"))


def money(default: float | None, **more: Any) -> Any:
    """USD, kept as integer nano-dollars."""
    return _field(default, Rule("money", 0, null=default is None, **more))


def duration(default: float | None) -> Any:
    """Seconds, or a text such as `15m`, `2h`, `7d`."""
    return _field(default, Rule("duration", 0, null=default is None))


def section(of: type, short: str | None = None) -> Any:
    return field(default_factory=of, metadata={"rule": Rule("section", of=of, short=short)})


def table(of: type, short: str | None = None) -> Any:
    return _field({}, Rule("table", of=of, short=short))


def rows(of: type, short: str | None = None) -> Any:
    return _field((), Rule("rows", of=of, short=short))


@dataclass(frozen=True, eq=False, repr=False)
class TimeoutRule:
    """Seconds. A bare number is `total`; what is not said of the others is as long as that."""

    connect: float = number(10.0)
    first: float | None = number(None)
    idle: float | None = number(None)
    total: float = number(30.0)


@dataclass(frozen=True, eq=False, repr=False)
class ModelRule:
    """One model of the profile, or what a provider's models share."""

    model: str = text("", required=True)
    params: Mapping[str, Any] = values()
    api_base: str | None = text(None)
    keys: tuple[str, ...] = texts()
    headers: Mapping[str, str] = values()
    timeout: TimeoutRule | None = field(
        default=None, metadata={"rule": Rule("section", of=TimeoutRule, short="total")}
    )
    fits: str = choice("auto", "auto", "simple", "normal", "complex")
    """The most complex task that `-m auto` gives this model; `auto`: judged by its price."""


@dataclass(frozen=True, eq=False, repr=False)
class ProviderRule:
    """What all models of a provider share where they do not say otherwise."""

    api_base: str | None = text(None)
    keys: tuple[str, ...] = texts()
    headers: Mapping[str, str] = values()


@dataclass(frozen=True, eq=False, repr=False)
class RetryRule:
    """`attempts` in all; waits are uniform in [0, min(cap, base × factor^n)] seconds."""

    attempts: int = whole(3, 1, 100)
    base: float = number(0.5)
    factor: float = number(2.0, 1)
    cap: float = number(60.0)


@dataclass(frozen=True, eq=False, repr=False)
class BreakerRule:
    failures: int = whole(5, 1)
    cooldown: float = duration(60.0)


@dataclass(frozen=True, eq=False, repr=False)
class LimitRule:
    """In flight at once, requests and tokens per minute; null: no limit but the provider's own."""

    concurrency: int | None = whole(None, 1, 100_000)
    rpm: float | None = number(None, 0.01)
    tpm: float | None = number(None, 1)


@dataclass(frozen=True, eq=False, repr=False)
class SemanticRule:
    enabled: bool = flag(False)
    threshold: float = number(0.95, 0.5, 1)
    mode: str = choice("serve", "serve", "shadow")


@dataclass(frozen=True, eq=False, repr=False)
class CacheRule:
    enabled: bool = flag(True)
    ttl: float | None = duration(3600.0)
    min_cost: int = money(0)
    max_bytes: int = whole(2**30, 2**20)
    semantic: SemanticRule = section(SemanticRule)


@dataclass(frozen=True, eq=False, repr=False)
class BudgetRule:
    """At most `limit` USD per period, of all calls or of those that `profile`, `model`, … name."""

    limit: int = money(0, required=True)
    per: str = choice("total", "hour", "day", "week", "month", "total")
    tz: str = text("UTC")
    warn: float = number(0.8, 0, 1)
    name: str | None = text(None)
    profile: str | None = text(None)
    model: str | None = text(None)
    provider: str | None = text(None)
    tag: str | None = text(None)


@dataclass(frozen=True, eq=False, repr=False)
class PriceRule:
    """USD per million tokens. 0 is a price; absent is unknown."""

    input: float | None = number(None)
    output: float | None = number(None)
    cached: float | None = number(None)
    cache_write: float | None = number(None)
    reasoning: float | None = number(None)


CHECKS = (
    "context", "instructions", "format", "examples", "undefined", "unused", "missing", "placeholder",
    "secret", "personal", "doubled", "contradiction",
)  # fmt: skip
"""What a prompt can be checked for (`prompts.check`); `all` in a profile stands for every one of them."""

PRIVACY_KINDS = ("card", "email", "ssn", "phone", "iban", "ip", "secret")


@dataclass(frozen=True, eq=False, repr=False)
class PrivacyRule:
    """What is kept from leaving, and what an answer may not say.

    `names` and `words` (label: list of words) are found as whole words, `patterns` (label: regular
    expression) as they are written; labels name the placeholders. `answers` judges what comes back
    for `answer_kinds`, `forbidden` words and `forbidden_patterns`.
    """

    redact: tuple[str, ...] = texts(choices=PRIVACY_KINDS)
    mode: str = choice("reversible", "reversible", "mask")
    names: tuple[str, ...] = texts()
    words: Mapping[str, Any] = values()
    patterns: Mapping[str, str] = values()
    forbidden: tuple[str, ...] = texts()
    forbidden_patterns: Mapping[str, str] = values()
    region: str = text("US")
    max_chars: int | None = whole(None, 0)
    """Characters of one text; null: 10,000 where the profile redacts, else no limit; 0: no limit."""
    over_max: str = choice("cut", "cut", "refuse")
    answers: str = choice("off", "off", "warn", "mask", "block")
    answer_kinds: tuple[str, ...] = texts("secret", choices=PRIVACY_KINDS)
    log_texts: bool = flag(False)

    @property
    def redacts(self) -> bool:
        """Whether anything is looked for in what goes out."""
        return bool(self.redact or self.names or self.words or self.patterns)

    @property
    def limit(self) -> int | None:
        """The length limit in force, in characters of one text; None: no limit."""
        if self.max_chars is None:
            return 10_000 if self.redacts else None
        return self.max_chars or None


@dataclass(frozen=True, eq=False, repr=False)
class AlertRule:
    metric: str = text("", required=True)
    over: float | None = number(None)
    under: float | None = number(None)
    window: float = duration(900.0)
    min_calls: int = whole(10, 1)
    hold: float = duration(0.0)
    repeat: float | None = duration(None)


@dataclass(frozen=True, eq=False, repr=False)
class LocalRule:
    """The embedded model's server: seconds it stays without work, requests it takes at once."""

    idle: float = duration(180.0)
    threads: int | None = whole(None, 1)


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """A resolved profile; absent keys hold the built-in defaults."""

    extends: str | None = text(None)
    description: str | None = text(None)
    models: Mapping[str, ModelRule] = table(ModelRule, short="model")
    params: Mapping[str, Any] = values()
    providers: Mapping[str, ProviderRule] = table(ProviderRule)
    fallback: tuple[str, ...] = texts()
    candidates: tuple[str, ...] = texts()
    cascade: tuple[str, ...] = texts()
    timeout: TimeoutRule = section(TimeoutRule, short="total")
    retry: RetryRule = section(RetryRule, short="attempts")
    breaker: BreakerRule = section(BreakerRule)
    limits: LimitRule = section(LimitRule)
    cache: CacheRule = section(CacheRule, short="enabled")
    budgets: tuple[BudgetRule, ...] = rows(BudgetRule)
    prices: Mapping[str, PriceRule] = table(PriceRule)
    privacy: PrivacyRule = section(PrivacyRule)
    alerts: tuple[AlertRule, ...] = rows(AlertRule)
    notify: tuple[str, ...] = texts()
    checks: tuple[str, ...] = texts(choices=(*CHECKS, "all"))
    schema_retries: int = whole(2, 0, 20)
    state: str | None = text(None)
    max_answer_bytes: int = whole(8 * 2**20, 1024)
    local: LocalRule = section(LocalRule)


DEFAULT_PARAMS: Mapping[str, Any] = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 4000}
"""What a model is asked with where neither profile, template nor command says otherwise."""
