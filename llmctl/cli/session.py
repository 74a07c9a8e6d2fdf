"""What most commands begin with: the services that the global options describe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from llmctl.cli.failure import one_line
from llmctl.cli.options import Globals, current
from llmctl.core.hidden import mask
from llmctl.services import Services


def services(*, group: bool = False) -> Services:
    """For the command that is running; warnings go to stderr unless --quiet. `group`: many calls."""
    options = current()
    return Services(
        os.environ, name=options.profile, home=options.home_path, warn=warner(options), group=group
    )


def warner(options: Globals) -> Callable[[str], None]:
    return (lambda text: None) if options.quiet else warn


def warn(text: str) -> None:
    sys.stderr.write(f"llmctl: warning: {mask(one_line(text))}\n")
