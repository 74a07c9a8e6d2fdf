"""Structured answers: which models take a schema themselves, and who checks what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmctl.core.model import Request

GRAMMAR = frozenset({"local", "hosted_vllm", "vllm", "lm_studio", "llamafile", "ollama"})
"""Providers whose servers take a schema for every model."""


class LazyAnswers:
    """`prompts.answers.Answers`, loaded when a request has a schema; `info` is what is known of a model."""

    def __init__(self, info: Callable[[str], Mapping[str, Any] | None]) -> None:
        self._info = info

    def __getattr__(self, name: str) -> Any:
        from llmctl.prompts.answers import Answers

        return getattr(Answers(self._takes_schema), name)

    def _takes_schema(self, request: Request) -> bool:
        """Whether the model takes a JSON schema itself; else it is put into the text.

        A model that is held to a schema can write no steps, so what asks for steps goes into the text;
        the embedded model fits nothing without its grammar.
        """
        if request.cot and request.target.provider != "local":
            return False
        if request.target.provider in GRAMMAR:
            return True
        entry = self._info(request.target.model)
        if entry is None:
            return request.target.provider == "openai"  # newer than the price file
        return bool(entry.get("supports_response_schema"))
