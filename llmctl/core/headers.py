"""Headers of two sources made one."""

from __future__ import annotations

from collections.abc import Mapping


def together(shared: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Both, `own` first where they name the same: small and capital letters are one (RFC 9110, 5.1)."""
    names = {name.lower() for name in own}
    return {name: value for name, value in shared.items() if name.lower() not in names} | {**own}
