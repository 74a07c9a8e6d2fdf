"""The story of a call: the stages in order, outermost first.

`precheck` refuses what must not be asked, once a question. `cascade` asks the next model and `schema`
the same one again, both in the user's own words, so they stand before `redact`; below that nothing
sees a secret. A hit is recorded and free; what failed is recorded too; every attempt is one pass
through what stands below `retry`, and reserves its own money.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import takewhile

from llmctl.core.model import Send
from llmctl.services import Services
from llmctl.stages.breaker import breaker
from llmctl.stages.budget import budget
from llmctl.stages.cache import cache
from llmctl.stages.cascade import cascade
from llmctl.stages.check import check
from llmctl.stages.fallback import fallback
from llmctl.stages.keys import keys
from llmctl.stages.log import log, log_attempts
from llmctl.stages.precheck import precheck
from llmctl.stages.provider import provider
from llmctl.stages.rate import rate
from llmctl.stages.reasoning import reasoning
from llmctl.stages.record import record
from llmctl.stages.redact import redact
from llmctl.stages.retry import retry
from llmctl.stages.schema import schema
from llmctl.stages.semantic import semantic
from llmctl.stages.single_flight import single_flight
from llmctl.stages.trace import trace

Stage = partial[Send]
"""A stage with all it needs but the next one."""


def stages(services: Services) -> list[Stage]:
    """Each stage with what it needs, as a function of the next one."""
    profile = services.profile
    return [
        partial(precheck, checks=profile.checks, facts=services.facts, privacy=profile.privacy),
        partial(cascade),
        partial(schema, retries=services.profile.schema_retries, answers=services.answers),
        partial(redact, rule=services.profile.privacy),
        partial(check, rule=services.profile.privacy),
        partial(reasoning),
        partial(record, ledger=services.ledger, number=services.number),
        partial(trace, telemetry=services.telemetry, clock=services.clock),
        partial(log, book=services.log, texts=profile.privacy.log_texts, many=services.group),
        partial(cache, store=services.cache, keep=services.keep),
        partial(single_flight),
        partial(
            semantic,
            store=services.cache,
            near=services.near,
            rule=services.profile.cache.semantic,
            keep=services.keep,
        ),
        partial(fallback, stand_ins=services.stand_ins),
        partial(
            retry,
            rule=services.profile.retry,
            clock=services.clock,
            random=services.random,
            allowance=services.allowance,
        ),
        partial(breaker, circuits=services.circuits, clock=services.clock, patient=services.group),
        partial(keys, pools=services.pools, clock=services.clock),
        partial(
            rate,
            paces=services.paces,
            refuse=services.circuits.refuse,
            ready=services.connections.ready,
        ),
        partial(budget, desk=services.desk, most=services.most),
        partial(log_attempts, book=services.log),
    ]


def build(services: Services) -> Send:
    """The whole pipeline as one Send."""
    send = provider(
        services.connections.provider_of,
        services.secrets.resolve,
        services.price,
        services.judge,
        services.ledger,
        services.clock,
    )
    return _around(send, stages(services))


def down_to(services: Services, stop: Callable[..., Send], end: Send) -> Send:
    """The stages above `stop`, ending in `end`: it is handed requests as that stage would see them."""
    return _around(end, list(takewhile(lambda stage: stage.func is not stop, stages(services))))


def _around(send: Send, around: list[Stage]) -> Send:
    for stage in reversed(around):
        send = stage(send)
    return send
