"""LLM work from the shell and from Python, with guards on money, secrets and answers."""

from __future__ import annotations

__version__ = "0.1.0"
