from __future__ import annotations

from collections.abc import Mapping

from llmctl.core.errors import AuthError


def resolve(reference: str, environ: Mapping[str, str]) -> str:
    value = environ.get(reference.partition(":")[2])
    if not value:
        raise AuthError(f"no key: {reference} is not set")
    return value
