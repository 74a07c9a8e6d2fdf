"""The list of a provider's models: the one request that costs nothing and tells whether a key is alive."""

from __future__ import annotations

from llmctl.core.errors import ConfigError
from llmctl.core.model import Target
from llmctl.core.ports import HttpCall
from llmctl.providers.catalog import house

ANTHROPIC_VERSION = "2023-06-01"


def listing(target: Target, key: str) -> HttpCall:
    """The request for it, to the target's own address. ConfigError where there is no such list."""
    if target.api_base is None or house(target.provider).route not in ("openai", "codec"):
        raise ConfigError(f"{target.provider}: whether its keys are alive cannot be asked without paying")
    base, mark, query = target.api_base.partition("?")
    path = "/v1/models" if target.provider in ("anthropic", "cohere", "cohere_chat") else "/models"
    headers = {"User-Agent": "llmctl", **target.headers}
    if target.provider == "anthropic":
        headers |= {"x-api-key": key, "anthropic-version": ANTHROPIC_VERSION}
    elif target.provider == "gemini":
        headers["x-goog-api-key"] = key
    else:
        headers["Authorization"] = f"Bearer {key}"
    return HttpCall(base.rstrip("/") + path + mark + query, headers, b"", method="GET")
