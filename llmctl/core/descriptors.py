"""How many connections a process may have open at once."""

from __future__ import annotations

from contextlib import suppress

MOST = 131_072
"""More than anybody asks for at once."""
SPARE = 48
"""For everything but connections: ledger, cache, state, journal, files that are loaded."""


def connections() -> int:
    """As many as the system allows besides our own files, at least one.

    The soft limit is raised as far as the hard one lets it: it is low for the sake of old programs.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a system with a limit of its own beside them
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else max(1, soft - SPARE)
