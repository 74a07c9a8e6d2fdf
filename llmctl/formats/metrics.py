"""Metrics as the JSON of `/metrics/llm`: money in USD, times in seconds, shares from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmctl.core.money import to_usd
from llmctl.usage import times
from llmctl.usage.metrics import Metrics, tokens
from llmctl.usage.report import Group


def envelope(found: Metrics, where: times.Zone) -> dict[str, Any]:
    """The object, without its schema number; what nothing is known of is null."""
    total, query = found.total, found.query
    return {
        "since": _time(query.since, where),
        "until": _time(query.until, where),
        "filters": {"profile": query.profile, "model": query.model, "tag": query.tag},
        "total_requests": total.calls,
        "successful_requests": total.ok,
        "failed_requests": total.failed,
        "success_rate": _share(found.success_rate),
        "error_rate": _share(found.error_rate),
        "avg_response_time": total.latency.envelope()["mean"],
        "response_time": total.latency.envelope(),
        "time_to_first_token": total.ttft.envelope(),
        "exact": found.exact,
        "total_tokens": found.tokens,
        "tokens": {
            "input": total.input_tokens,
            "output": total.output_tokens,
            "cached": total.cached_tokens,
            "reasoning": total.reasoning_tokens,
        },
        "total_cost": to_usd(total.cost),
        "unpriced_requests": total.unpriced,
        "saved": to_usd(total.saved),
        "cache_hits": total.cached,
        "cache_hit_rate": _share(found.hit_rate),
        "retries": total.retries,
        "errors": dict(found.errors),
        "last_success": _time(found.last_success, where),
        "cost_breakdown": {model: to_usd(group.cost) for model, group in found.by("model").items()},
        "model_usage": _usage(found.by("model")),
        "profile_usage": _usage(found.by("profile")),
        "tag_usage": _usage(found.by("tag")),
    }


def _usage(groups: Mapping[str, Group]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "calls": group.calls,
            "tokens": tokens(group),
            "cost_usd": to_usd(group.cost),
            "failed": group.failed,
            "cached": group.cached,
            "saved_usd": to_usd(group.saved),
            "response_time": group.latency.envelope(),
        }
        for name, group in groups.items()
    }


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _time(at: float | None, where: times.Zone) -> str | None:
    return None if at is None else times.iso(at, where)
