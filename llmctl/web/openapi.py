"""The description of the addresses, for programs (OpenAPI 3.1) and for the page that shows it."""

from __future__ import annotations

from typing import Any

from llmctl import __version__
from llmctl.web.api import PARAMETERS

NUMBER = {"type": ["number", "null"]}
COUNT = {"type": "integer"}
NUMBERS = {"type": "object", "additionalProperties": NUMBER}
LIST = {"type": "array", "items": {"type": "object"}}
USAGE = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {"calls": COUNT, "tokens": COUNT, "cost_usd": NUMBER, "failed": COUNT, "cached": COUNT},
    },
}
METRICS = {
    "schema": {"const": 1},
    "total_requests": {**COUNT, "description": "Asked of llmctl, hits of the cache included."},
    "success_rate": {**NUMBER, "description": "0 to 1; null without requests."},
    "avg_response_time": {**NUMBER, "description": "Seconds; hits of the cache left out."},
    "response_time": {**NUMBERS, "description": "Seconds: mean, p50, p95, p99."},
    "time_to_first_token": NUMBERS,
    "total_tokens": {**COUNT, "description": "Input and output."},
    "tokens": {"type": "object", "additionalProperties": COUNT},
    "total_cost": {**NUMBER, "description": "USD; null where no price is known."},
    "saved": {**NUMBER, "description": "USD that hits of the cache would have cost."},
    "cache_hit_rate": NUMBER,
    "retries": COUNT,
    "errors": {"type": "object", "additionalProperties": COUNT, "description": "Failed requests by type."},
    "cost_breakdown": {**NUMBERS, "description": "USD by model."},
    "model_usage": USAGE,
    "profile_usage": USAGE,
    "tag_usage": USAGE,
    "budgets": LIST,
    "breakers": LIST,
    "limits": LIST,
}
COLUMN = {"type": "array", "items": NUMBER}
SERIES = {
    "step_s": {**COUNT, "description": "Seconds between two points."},
    "at": {**COLUMN, "description": "Unix seconds at which each point begins."},
    **dict.fromkeys(("ok", "failed", "cached", "input_tokens", "output_tokens", "cost_usd"), COLUMN),
    "latency_s": {"type": "object", "additionalProperties": COLUMN},
}
STATE = {
    "profile": {"type": "string"},
    **dict.fromkeys(("budgets", "breakers", "keys", "limits", "alerts"), LIST),
}


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llmctl",
            "version": __version__,
            "description": "What was asked of models, and what it cost. Read-only; money in USD, times in "
            "seconds, shares from 0 to 1.",
        },
        "paths": {
            "/metrics/llm": _get("The figures of a window", METRICS, window=True),
            "/metrics": _text("All counters for Prometheus", "text/plain"),
            "/healthz": _get("Whether this server answers", {"status": {"const": "ok"}}),
            "/api/series": _get("Requests, money and times over time", SERIES, window=True),
            "/api/calls": _get(
                "The slowest and the dearest calls", {"slowest": LIST, "dearest": LIST}, window=True
            ),
            "/api/state": _get("Budgets, breakers, keys, rate limits and alerts now", STATE),
            "/api/batches": _get("Batches that run, or ended within the hour", {"batches": LIST}),
            "/api/names": _get("Profiles, models and tags in the ledger", {"names": {"type": "object"}}),
            "/api/events": _text("Server-sent events `batches` and `ledger`", "text/event-stream"),
            "/openapi.json": _get("This description", {}),
        },
    }


def _get(summary: str, properties: dict[str, Any], *, window: bool = False) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    answers: dict[str, Any] = {"200": _content("Done", "application/json", schema)}
    if window:
        answers["400"] = {"description": "A parameter is wrong; `error` says which."}
    answers["503"] = {"description": "Ledger or state cannot be read; `error` says why."}
    parameters = [
        {"name": name, "in": "query", "description": told, "schema": {"type": "string"}}
        for name, told in PARAMETERS.items()
    ]
    return {"get": {"summary": summary, "parameters": parameters if window else [], "responses": answers}}


def _text(summary: str, kind: str) -> dict[str, Any]:
    return {
        "get": {
            "summary": summary,
            "parameters": [],
            "responses": {"200": _content("Done", kind, {"type": "string"})},
        }
    }


def _content(told: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {kind: {"schema": schema}}}
