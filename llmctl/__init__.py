"""LLM work from the shell and from Python, with guards on money, secrets and answers.

The names below are loaded when they are first used: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from llmctl.batch.api import BatchResult
    from llmctl.client import Client
    from llmctl.core.errors import LlmctlError
    from llmctl.core.model import Response, Usage

_HOMES = {
    "BatchResult": "llmctl.batch.api",
    "Client": "llmctl.client",
    "LlmctlError": "llmctl.core.errors",
    "Response": "llmctl.core.model",
    "Usage": "llmctl.core.model",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'llmctl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


__all__ = ["BatchResult", "Client", "LlmctlError", "Response", "Usage", "__version__"]
