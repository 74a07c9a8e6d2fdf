"""Which parameters a model takes, in litellm's knowledge of it."""

from __future__ import annotations

import copy
import re
from typing import Any

from llmctl.core.errors import BadRequest
from llmctl.core.model import Request, Target
from llmctl.providers import classify
from llmctl.providers.litellm.loading import load
from llmctl.providers.openai import response_format

_NOT_PARAMS = frozenset(
    {
        "api_base", "api_key", "additional_drop_params", "allowed_openai_params", "base_model", "base_url",
        "caching", "client", "custom_llm_provider", "drop_params", "extra_headers",
        "fallbacks", "headers", "logger_fn",
        "max_retries", "messages", "metadata", "mock_response", "mock_tool_calls", "mock_timeout", "model",
        "model_list", "num_retries", "stream", "stream_options", "timeout",
    }
)  # fmt: skip
"""Names that would steer litellm itself (where to send, what to pretend) instead of the model."""


class Params:
    """A target's parameters in litellm's eyes: what the model takes, what it refuses."""

    def __init__(self, target: Target) -> None:
        load()
        self.target = target
        self._last: Request | None = None
        self._how: dict[str, Any] = {}
        self._made: tuple[dict[str, Any], dict[str, Any]] = {}, {}

    def checked(self, request: Request) -> dict[str, Any]:
        """The request's parameters, defaults that the model does not take left out, with the schema."""
        given = dict(request.params)
        forbidden = sorted(given.keys() & _NOT_PARAMS)
        if forbidden:
            raise BadRequest(f"{self.target.model}: {forbidden[0]!r} is no parameter of a model")
        if self.target.provider == "anthropic" and "temperature" in given and "top_p" in request.defaults:
            given.pop("top_p", None)  # its newer models take one of the two
        if request.schema is not None:
            given["response_format"] = response_format(request.schema)
        return given

    def mapped(self, request: Request, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """(OpenAI's names, the provider's names). BadRequest for what was asked for and is not taken.

        Rows of a batch ask with the same parameters: those of the last request are not worked out anew.
        """
        last = self._last
        if last is None or more != self._how or not _alike(request, last):
            self._made = self._map(request, more)
            self._last, self._how = request, more
        return copy.deepcopy(self._made)

    def _map(self, request: Request, more: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        from litellm.exceptions import UnsupportedParamsError
        from litellm.utils import get_optional_params

        given = self.checked(request)
        while True:
            try:
                made = get_optional_params(
                    model=self.target.bare_model,
                    custom_llm_provider=self.target.provider,
                    **copy.deepcopy(given),
                    **more,
                )
            except UnsupportedParamsError as error:
                refused = [name for name in given if re.search(rf"\b{name}\b", str(error))]
                droppable = [name for name in refused if name in request.defaults]
                if not droppable:
                    raise self._refusal(refused, str(error)) from None
                for name in droppable:
                    del given[name]
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                raise BadRequest(f"{self.target.model}: a parameter is not understood: {error}") from None
            else:
                return given, dict(made)

    def _refusal(self, names: list[str], told: str) -> BadRequest:
        what = ", ".join(names) or "a parameter"
        said = classify.shown(re.split(r"To drop|If you want", told.partition(": ")[2])[0])
        return BadRequest(f"{self.target.model} does not take {what}: {said}", hint=f"leave {what} out")


def _alike(a: Request, b: Request) -> bool:
    """The same objects, not equal ones: whoever changes one makes another."""
    return a.params is b.params and a.schema is b.schema and a.defaults is b.defaults
