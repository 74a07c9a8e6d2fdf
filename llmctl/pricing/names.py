"""Model names: how llmctl's `provider/model` finds its entry in litellm's file, and back.

The file's keys carry the provider's prefix or not, and its `litellm_provider` knows more families
than there are providers (`vertex_ai-language-models`, `bedrock_converse`). An entry of another
provider never matches: the same model costs different money at each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FAMILIES = {
    "ai21_chat": "ai21",
    "anthropic_text": "anthropic",
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "ollama_chat": "ollama",
    "sagemaker_chat": "sagemaker",
    "text-completion-codestral": "codestral",
    "text-completion-inception": "inception",
    "text-completion-openai": "openai",
    "watsonx_text": "watsonx",
}
PREFIXES = {"amazon_nova": "amazon-nova"}
"""Providers whose keys in the file carry another prefix than their name."""

BARE = {"ai21": "ai21_chat"}
"""Providers that litellm calls a bare model of the family by."""

SIZE_CLASSES = ("together-ai-", "fireworks-ai-")
"""Keys that stand for all models of a size, not for one."""

_BEDROCK_ROUTE = re.compile(r"^(?:invoke|converse_like|converse|chat_completions|async_invoke)/")
_BEDROCK_REGION = re.compile(r"^(?:us-gov|us|eu|ap|ca|sa|me|af|il)-[a-z]+-\d/")
_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8})$")
_STABLE = re.compile(r"-\d{3}$")
_FINE_TUNED = re.compile(r"^(ft:[^:]+)(?::[^:]*){3}$")


def family(provider: str) -> str:
    """The provider whose prices these are, whatever way its models are called."""
    for head in ("vertex_ai", "fireworks_ai"):
        if provider.startswith(head):
            return head
    return FAMILIES.get(provider, provider)


def of_entry(name: str, entry: Mapping[str, Any]) -> str | None:
    """A key of the file as llmctl writes it: `provider/model`; None where it stands for no one model."""
    own = family(str(entry.get("litellm_provider", "")))
    if not own or name.startswith(SIZE_CLASSES):
        return None
    head, slash, rest = name.partition("/")
    if slash and (family(head) == own or head == PREFIXES.get(own)):
        return f"{own}/{rest}" if head == PREFIXES.get(own) else name
    return f"{called(str(entry['litellm_provider']))}/{name}"


def called(provider: str) -> str:
    """What litellm calls the provider of a model that stands in its file without a prefix."""
    if provider in ("cohere_chat", "text-completion-openai"):
        return provider
    own = family(provider)
    return BARE.get(own, own)


def candidates(model: str) -> list[str]:
    """The keys under which the entry of `provider/model` may stand, the likeliest first."""
    provider = model.partition("/")[0]
    heads = list(dict.fromkeys((provider, family(provider), PREFIXES.get(provider, provider))))
    found: list[str] = []
    for name in variants(model):
        rest = name.partition("/")[2]
        found += [f"{head}/{rest}" for head in heads]
        found.append(rest)
    return list(dict.fromkeys(found))


def variants(model: str) -> list[str]:
    """The name and then what it is called without a date, a stable version or a route.

    Servers answer with the dated name of the model that was asked for (`gpt-4o-mini-2024-07-18`).
    """
    provider, _, bare = model.partition("/")
    forms = [bare]
    own = family(provider)
    if own == "bedrock":
        plain = _BEDROCK_ROUTE.sub("", bare)
        forms += [plain, _BEDROCK_REGION.sub("", plain)]
    tuned = _FINE_TUNED.match(bare)
    if tuned:
        forms.append(tuned[1])
    forms += [_DATE.sub("", form) for form in forms]
    if own in ("gemini", "vertex_ai"):
        forms += [_STABLE.sub("", form) for form in forms]
    return [f"{provider}/{form}" for form in dict.fromkeys(forms) if form]
