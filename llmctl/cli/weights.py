"""Offers to fetch the embedded model's weights when they are first needed, to a person at a terminal."""

from __future__ import annotations

import sys

from llmctl.cli.options import current
from llmctl.core.errors import ConfigError
from llmctl.core.model import Target
from llmctl.services import Services


def offer(services: Services, target: Target) -> None:
    """Asks and fetches; does nothing for other models, without a terminal, or where they are there."""
    if target.provider != "local" or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return
    from llmctl.providers.weights import KNOWN, find, pull

    known = KNOWN.get(target.bare_model)
    if known is None or current().quiet:
        return
    try:
        find(target.bare_model, services.home)
    except ConfigError:
        size = known.download / 1e6
        sys.stderr.write(
            f"llmctl: the weights of {target.model} are not here yet; fetch {size:.0f} MB? [y/N] "
        )
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            pull(target.bare_model, services.home)
