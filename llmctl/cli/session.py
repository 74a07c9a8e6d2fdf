"""What most commands begin with: the services that the global options describe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from llmctl.cli.failure import one_line
from llmctl.cli.options import Globals, current
from llmctl.core.errors import LlmctlError
from llmctl.core.hidden import mask
from llmctl.services import Services

LAST: list[Services] = []
"""The services of the command that is running, once it has any."""


def services(*, group: bool = False) -> Services:
    """For the command that is running; warnings go to stderr unless --quiet. `group`: many calls."""
    options = current()
    opened = Services(
        os.environ, name=options.profile, home=options.home_path, warn=warner(options), group=group
    )
    opened.alone = True
    LAST[:] = [opened]
    if options.verbose and not options.quiet:
        opened.tell = tell
    return opened


def warner(options: Globals) -> Callable[[str], None]:
    return (lambda text: None) if options.quiet else warn


def ended(fields: dict[str, Any]) -> None:
    """Tells the log how the command failed, where it had come as far as having one."""
    for opened in LAST:
        if "resolved" in vars(opened) and (log := opened.log) is not None:
            log.warn = lambda text: None  # the failure itself is what is told
            log.event("error", "failed", **fields)
            log.flush()


def cleaned(text: str) -> str:
    """A message of ours without what the profile keeps to itself: it may quote a prompt or an answer."""
    for opened in LAST:
        if "resolved" in vars(opened) and opened.profile.privacy.redacts:
            from llmctl.privacy.redact import Redactor

            rule = opened.profile.privacy
            kinds = tuple(kind for kind in rule.redact if kind != "ip")  # a server's address is no secret
            with suppress(LlmctlError):  # a wrong pattern, which is what is being told
                return Redactor(replace(rule, redact=kinds, max_chars=0)).redact(text)
    return text


def tell(text: str) -> None:
    """An event of the log, for people."""
    sys.stderr.write(f"llmctl: {one_line(text)}\n")


def warn(text: str) -> None:
    sys.stderr.write(f"llmctl: warning: {mask(one_line(text))}\n")
