"""What a profile may say: one frozen class a section, every key with its default and its bounds.

The classes are the schema too: each field says in its metadata how its value is read
(`llmctl.config.schema` interprets it), so a key is declared once. They are made without `__eq__`,
`__repr__` and slots, whose making would take longer than reading a profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmctl.core.fields import (
    Rule,
    amount,
    choice,
    duration,
    flag,
    money,
    number,
    reference,
    rows,
    section,
    switch,
    table,
    text,
    texts,
    values,
    whole,
)


@dataclass(frozen=True, eq=False, repr=False)
class TimeoutRule:
    """Seconds. A bare number is `total`; what is not said of the others is as long as that."""

    connect: float = number(10.0)
    """Until the connection stands, TLS included."""
    first: float | None = number(None)
    """From the request to the first byte of the answer; null: as long as `total`."""
    idle: float | None = number(None)
    """Between two pieces of an answer; null: as long as `total`."""
    total: float = number(30.0)
    """A whole call: every attempt and the waits between them."""


@dataclass(frozen=True, eq=False, repr=False)
class ModelRule:
    """One model of the profile, or what a provider's models share."""

    model: str = text("", required=True)
    """`provider/model`, in the names that litellm uses."""
    params: Mapping[str, Any] = values()
    """Parameters of this model, over the profile's own `params`; null leaves one out."""
    api_base: str | None = text(None)
    """Where the model is asked; null: the provider's, else the environment's, else the usual address."""
    keys: tuple[str, ...] = texts()
    """References to keys: `env:NAME`, `file:PATH`, `cmd:COMMAND`, `keyring:SERVICE/NAME`."""
    headers: Mapping[str, str] = values()
    """Extra HTTP headers of each request."""
    timeout: TimeoutRule | None = field(
        default=None, metadata={"rule": Rule("section", of=TimeoutRule, short="total")}
    )
    """Time limits of this model; null: the profile's."""
    fits: str = choice("auto", "auto", "simple", "normal", "complex")
    """The most complex task that `-m auto` gives this model; `auto`: judged by its price."""


@dataclass(frozen=True, eq=False, repr=False)
class ProviderRule:
    """What all models of a provider share where they do not say otherwise."""

    api_base: str | None = text(None)
    """Where this provider's models are asked."""
    keys: tuple[str, ...] = texts()
    """References to keys, for models without their own."""
    headers: Mapping[str, str] = values()
    """Extra HTTP headers, under those of the model."""


@dataclass(frozen=True, eq=False, repr=False)
class RetryRule:
    """`attempts` in all; waits are uniform in [0, min(cap, base × factor^n)] seconds."""

    attempts: int = whole(3, 1, 100)
    """Requests at most for one call, the first one included."""
    base: float = number(0.5)
    """Seconds; the first wait is somewhere between 0 and this."""
    factor: float = number(2.0, 1)
    """By how much the longest wait grows with every attempt."""
    cap: float = number(60.0)
    """Seconds; no wait of ours is longer (a server's own Retry-After may be)."""


@dataclass(frozen=True, eq=False, repr=False)
class BreakerRule:
    """When a model counts as down. A 4xx and a 429 are no failures in its sense: somebody answered."""

    failures: int = whole(5, 1)
    """Failures in a row that open the breaker, where failures are rare; more where many calls fail anyway."""
    cooldown: float = duration(60.0)
    """How long it stays open before one request is tried."""
    rate: float = number(0.5, 0.01, 1)
    """It opens too where this share of the calls has failed within `window`."""
    window: float = duration(60.0)
    """The time over which `rate` is taken."""
    min_calls: int = whole(20, 1)
    """With fewer calls within `window`, `rate` says nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class LimitRule:
    """For each model; null: no limit but the provider's own, which is found out."""

    concurrency: int | None = whole(None, 1, 100_000)
    """Requests of one process in flight at once; null: a batch begins with 32 and goes on while it helps."""
    rpm: float | None = number(None, 0.01)
    """Requests a minute, of all processes together."""
    tpm: float | None = number(None, 1)
    """Tokens a minute, of all processes together."""


@dataclass(frozen=True, eq=False, repr=False)
class SemanticRule:
    enabled: bool = flag(False)
    """Whether a nearly equal prompt may get a stored answer."""
    threshold: float = number(0.95, 0.9, 1)
    """Cosine of the two embeddings from which prompts count as equal."""
    mode: str = choice("serve", "serve", "shadow")
    """`shadow` only notes what it would have served."""


@dataclass(frozen=True, eq=False, repr=False)
class CacheRule:
    enabled: bool = flag(True)
    """Whether answers are stored and served again."""
    ttl: float | None = duration(3600.0)
    """How long an answer is served; null: for ever."""
    min_cost: int = money(0)
    """USD; cheaper answers are not stored."""
    max_bytes: int = whole(2**30, 2**20)
    """Room on disk; what was stored first goes first."""
    encrypt: str | None = reference()
    """Reference to a key, of 32 characters or more, that answers on disk are encrypted with; null: none."""
    semantic: SemanticRule = section(SemanticRule)
    """Answers for nearly equal prompts."""


@dataclass(frozen=True, eq=False, repr=False)
class BudgetRule:
    """At most `limit` USD per period, of all calls or of those that `profile`, `model`, … name."""

    limit: int = money(0, required=True, high=1e9)
    """USD that may be spent in a period."""
    per: str = choice("total", "hour", "day", "week", "month", "total")
    """The period."""
    tz: str = text("UTC", zone=True)
    """Whose midnight begins a period."""
    warn: float = number(0.8, 0, 1)
    """Share of the limit from which it is warned of."""
    name: str | None = text(None)
    """What the budget is called in reports."""
    profile: str | None = text(None)
    """Count only calls of this profile."""
    model: str | None = text(None)
    """Count only calls of this model."""
    provider: str | None = text(None)
    """Count only calls of this provider."""
    tag: str | None = text(None)
    """Count only calls with this tag."""


@dataclass(frozen=True, eq=False, repr=False)
class PriceRule:
    """USD per million tokens. 0 is a price; absent is unknown."""

    input: float | None = number(None)
    """Input tokens."""
    output: float | None = number(None)
    """Output tokens."""
    cached: float | None = number(None)
    """Input tokens that the provider had in its cache; null: as `input`."""
    cache_write: float | None = number(None)
    """Input tokens that the provider puts into its cache."""
    reasoning: float | None = number(None)
    """Output tokens spent on reasoning; null: as `output`."""


CHECKS = (
    "context", "instructions", "format", "examples", "undefined", "unused", "missing", "placeholder",
    "secret", "personal", "doubled", "contradiction", "images",
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
    """What is replaced by placeholders before anything leaves."""
    mode: str = choice("reversible", "reversible", "mask")
    """`reversible` puts the values back into the answer, `mask` does not."""
    names: tuple[str, ...] = texts()
    """Names to replace, found as whole words."""
    words: Mapping[str, Any] = values()
    """Label -> words to replace, found as whole words."""
    patterns: Mapping[str, str] = values()
    """Label -> regular expression to replace."""
    forbidden: tuple[str, ...] = texts()
    """Words that an answer may not hold."""
    forbidden_patterns: Mapping[str, str] = values()
    """Label -> regular expression that an answer may not match."""
    region: str = text("US")
    """Country whose way of writing phone numbers is understood without a prefix."""
    max_chars: int | None = whole(None, 0)
    """Characters of one text; null: 10,000 where the profile redacts, else no limit; 0: no limit."""
    over_max: str = choice("cut", "cut", "refuse")
    """What happens to a longer text."""
    answers: str = choice("off", "off", "warn", "mask", "block")
    """What happens to an answer that holds what it may not."""
    answer_kinds: tuple[str, ...] = texts("secret", choices=PRIVACY_KINDS)
    """What is looked for in answers."""
    log_texts: bool = flag(False)
    """Whether logs may hold texts instead of lengths and hashes."""

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


SHARES = ("error_rate", "success_rate", "cache_hit_rate", "budget_used")
"""Metrics of alerts that lie between 0 and 1."""
ALERT_METRICS = (
    *SHARES, "avg_latency", "p50_latency", "p95_latency", "p99_latency",
    "avg_ttft", "p50_ttft", "p95_ttft", "p99_ttft",
    "cost_per_hour", "cost_anomaly", "tokens_per_hour", "calls_per_hour", "breaker_open", "no_success_for",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class AlertRule:
    """A condition that somebody is told of when it begins and when it ends. Each needs `over` or `under`."""

    metric: str = choice("", *ALERT_METRICS, required=True)
    """What is watched."""
    over: float | None = amount(None)
    """Alarm above this: a share from 0 to 1, seconds, USD, as the metric is."""
    under: float | None = amount(None)
    """Alarm below this."""
    window: float | None = duration(None)
    """How far back is looked; null: 15m, and 1h where it is about money."""
    min_calls: int = whole(10, 1)
    """No alarm with fewer calls in the window."""
    hold: float = duration(0.0)
    """How long the condition has to last first."""
    repeat: float | None = duration(None)
    """When to tell again while it lasts; null: once."""
    margin: float = number(0.1, 0, 1)
    """How far back behind the limit it has to go before it is over, as a share of the limit."""
    name: str | None = text(None)
    """What the rule is called in reports and messages."""
    profile: str | None = text(None)
    """Watch only calls of this profile."""
    model: str | None = text(None)
    """Watch only calls of this model, as `provider/model`."""
    tag: str | None = text(None)
    """Watch only calls with this tag."""

    def problem(self) -> tuple[str, str, str] | None:
        """What is wrong with the values together: key, what, and what to do."""
        if self.over is not None and self.under is not None:
            return "under", "one rule has one limit", "write two rules, one with over and one with under"
        limit = self.over if self.under is None else self.under
        which = "over" if self.under is None else "under"
        if limit is None and self.metric != "breaker_open":
            return "", "neither 'over' nor 'under' is there", "add `over: …` or `under: …`"
        if limit is not None and limit > 1 and self.metric in SHARES:
            return which, f"{limit:g} is no share of {self.metric}", "0.1 is ten in a hundred"
        if self.window == 0:
            return "window", "nothing lies in no time", "for example 15m"
        if self.repeat == 0:
            return "repeat", "0 would tell without end", "null: once; or for example 1h"
        return None


@dataclass(frozen=True, eq=False, repr=False)
class OtelRule:
    """Traces and metrics for OpenTelemetry, by OTLP over HTTP; needs the extra `otel`."""

    enabled: bool | None = switch()
    """Whether calls are traced; null: where `OTEL_EXPORTER_OTLP_ENDPOINT` is set."""
    endpoint: str | None = text(None)
    """The receiver's address, without `/v1/traces`; null: the environment's, else http://localhost:4318."""
    texts: bool = flag(False)
    """Whether spans hold prompts and answers, as they leave and come."""


@dataclass(frozen=True, eq=False, repr=False)
class LogRule:
    """What is written to `logs/llmctl.log` under the home. `privacy.log_texts` says whether with texts."""

    level: str = choice("info", "off", "error", "warning", "info", "debug")
    """The least that is written; only `debug`, and `-v`, tell of each row of a batch that went well."""
    max_bytes: int = whole(10 * 2**20, 4096)
    """From this size on a new file is begun."""
    keep: int = whole(3, 0, 100)
    """How many older files stay."""


@dataclass(frozen=True, eq=False, repr=False)
class LocalRule:
    """The embedded model's server: seconds it stays without work, threads it computes with."""

    idle: float = duration(180.0)
    """How long the model's server waits without work before it ends."""
    threads: int | None = whole(None, 1, 512)
    """Threads that compute; null: one fewer than cores. Another number starts a server of its own."""


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """A resolved profile; absent keys hold the built-in defaults."""

    extends: str | None = text(None)
    """The profile that this one starts from: a name, or a path beside this file."""
    description: str | None = text(None)
    """A line for `llmctl profile list`."""
    models: Mapping[str, ModelRule] = table(ModelRule, short="model")
    """Name -> model; the first is the default, `-m NAME` picks another."""
    params: Mapping[str, Any] = values()
    """Model parameters for all models of the profile."""
    providers: Mapping[str, ProviderRule] = table(ProviderRule)
    """Provider -> what all its models share."""
    fallback: tuple[str, ...] = texts()
    """Models to turn to, in order, when one is down or refused."""
    candidates: tuple[str, ...] = texts()
    """Models to choose among by a task's difficulty."""
    cascade: tuple[str, ...] = texts()
    """Models to climb, in order, while an answer fails its check."""
    timeout: TimeoutRule = section(TimeoutRule, short="total")
    """Time limits; a bare number is `total`."""
    retry: RetryRule = section(RetryRule, short="attempts")
    """Attempts and waits; a bare number is `attempts`."""
    breaker: BreakerRule = section(BreakerRule)
    """When to stop asking a provider that is down."""
    limits: LimitRule = section(LimitRule)
    """How much is asked at once and a minute."""
    cache: CacheRule = section(CacheRule, short="enabled")
    """Stored answers; a bare true or false is `enabled`."""
    budgets: tuple[BudgetRule, ...] = rows(BudgetRule)
    """Limits on money, each held by itself."""
    prices: Mapping[str, PriceRule] = table(PriceRule)
    """`provider/model` -> its prices, over the known ones."""
    privacy: PrivacyRule = section(PrivacyRule)
    """What may not leave, and what may not come back."""
    alerts: tuple[AlertRule, ...] = rows(AlertRule)
    """Rules that raise an alert."""
    notify: tuple[str, ...] = texts()
    """Where alerts go: web addresses, or references to them such as `env:SLACK_WEBHOOK`."""
    notify_key: str | None = reference()
    """Reference to the secret that messages to web addresses are signed with."""
    otel: OtelRule = section(OtelRule, short="enabled")
    """Traces and metrics; a bare true or false is `enabled`."""
    logs: LogRule = section(LogRule, short="level")
    """The log; a bare word is its `level`."""
    checks: tuple[str, ...] = texts(choices=(*CHECKS, "all"))
    """Checks of a prompt that must pass before it is sent."""
    schema_retries: int = whole(2, 0, 20)
    """How often an answer that breaks its schema is asked for again."""
    state: str | None = text(None)
    """Where state lives; null: files under `--home`."""
    plain_http: tuple[str, ...] = texts()
    """Hosts that may be asked by http:// although they are not this machine."""
    max_answer_bytes: int = whole(8 * 2**20, 1024)
    """Longer answers are broken off."""
    local: LocalRule = section(LocalRule)
    """The embedded model's server."""


DEFAULT_PARAMS: Mapping[str, Any] = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 4000}
"""What a model is asked with where neither profile, template nor command says otherwise."""
