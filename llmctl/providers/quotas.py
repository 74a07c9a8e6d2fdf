"""What a provider's answers tell of its rate limits: how much is left, of how much, until when."""

from __future__ import annotations

import time
from collections.abc import Mapping

from llmctl.core.model import Quota
from llmctl.providers.waits import moment, number

LOW = 0.1
"""The share of a quota from which it is worth minding."""


def low_quotas(headers: Mapping[str, str], now: float | None = None) -> list[Quota]:
    """The quotas of an answer (header names in lower case) that are nearly used up.

    Understands `x-ratelimit-remaining-requests` (OpenAI, Groq, Azure and others),
    `anthropic-ratelimit-tokens-remaining`, `x-ratelimit-remaining` and `ratelimit-remaining` (the IETF's
    draft): where a name has "remaining", its siblings have "limit" and "reset". `now` in Unix seconds,
    default: the clock.
    """
    found = []
    for name, value in headers.items():
        if "remaining" not in name or "ratelimit" not in name:
            continue
        left = number(value)
        limit = number(headers.get(name.replace("remaining", "limit")))
        if left is None or left > LOW * (limit or 0.0):
            continue
        reset = moment(headers.get(name.replace("remaining", "reset")), now or time.time())
        if reset is not None:
            found.append(Quota("tokens" in name, left, reset))
    return found
