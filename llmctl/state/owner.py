"""Who holds a reservation, and whether that process is still there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from llmctl.core.canonical import digest


def me() -> str:
    """`machine:pid:start` of this process; a number that is used again starts at another time."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid)}"


def is_dead(owner: str) -> bool:
    """Whether that process has surely ended. Of another machine or container nobody here can tell."""
    machine, _, rest = owner.rpartition(":")[0].rpartition(":")
    if machine != _machine() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's process: whether it is the same one shows below
    return _started(int(rest)) not in (owner.rpartition(":")[2], "?")


def boot() -> str:
    """A short name of this boot of this machine: times since its start mean nothing under another."""
    return digest(_machine().partition("/")[0].encode())[:8]


@cache
def _machine() -> str:
    """This boot of this machine, and the set of process numbers that it is seen through."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return os.uname().nodename


def _started(pid: int) -> str:
    """Clock ticks from boot to its start, `gone` for one that only waits to be reaped, `?`: not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return "?"
    fields = stat.rpartition(")")[2].split()  # proc(5): the name in brackets may hold anything
    return "gone" if fields[0] in "ZX" else fields[19]
