"""llmctl doctor: what works here, told without sending anything that costs money."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import typer

from llmctl import __version__
from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.core.errors import LlmctlError
from llmctl.core.model import Target
from llmctl.formats.envelope import write_json
from llmctl.services import Services

app = typer.Typer(rich_markup_mode=None, add_completion=False)
REACH_S = 3.0
Finding = tuple[str, bool, str]
"""What was looked at, whether it works, and what was seen."""


@app.command()
def doctor() -> int:
    """What works here: profile, keys, endpoints, state, versions. Exit 3 where something does not."""
    opened = services()
    found = list(findings(opened))
    fine = all(ok for _, ok, _ in found)
    if current().json:
        write_json(
            {"ok": fine, "checks": [{"name": name, "ok": ok, "detail": said} for name, ok, said in found]}
        )
    else:
        for name, ok, said in found:
            sys.stdout.write(f"{'ok  ' if ok else 'FAIL'}  {name:<22}  {said}\n")
    return 0 if fine else 3


def findings(opened: Services) -> Iterator[Finding]:
    yield "llmctl", True, f"{__version__}, Python {sys.version.split()[0]}"
    yield "litellm", *_litellm()
    yield _tried("profile", lambda: _profile(opened))
    yield _tried("state folder", lambda: _home(opened))
    yield _tried("ledger", lambda: _ledger(opened))
    yield _tried("cache", lambda: _cache(opened))
    try:
        names = list(opened.profile.models)
    except LlmctlError:
        return
    for name in names:
        yield from _model(opened, name)


def _tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return name, True, look()
    except LlmctlError as error:
        return name, False, f"{error.message} ({error.hint})" if error.hint else error.message


def _litellm() -> tuple[bool, str]:
    try:
        return True, version("litellm")
    except PackageNotFoundError:
        return False, "not installed: pip install llmctl"


def _profile(opened: Services) -> str:
    return f"{opened.resolved.name}, from {', '.join(str(file) for file in opened.resolved.files)}"


def _home(opened: Services) -> str:
    from llmctl.core.files import private_folder

    return f"{private_folder(opened.home, link=True)}, writable, its owner's alone"


def _ledger(opened: Services) -> str:
    import sqlite3

    from llmctl.core.errors import StorageError
    from llmctl.usage.schema import connect, fault

    path = opened.home / "ledger.db"
    db = connect(path)
    try:
        said = db.execute("PRAGMA quick_check").fetchone()[0]
        count = db.execute("SELECT count(*) FROM calls").fetchone()[0]
    except sqlite3.Error as error:
        raise fault(path, error) from None
    finally:
        db.close()
    if said != "ok":
        raise StorageError(f"{path}: the ledger is damaged ({said})", hint="move it away and restore a copy")
    return f"{count:,} calls, whole"


def _cache(opened: Services) -> str:
    from llmctl.core.errors import StorageError

    troubles: list[str] = []
    opened.warn = troubles.append
    found = opened.open_cache().stats()
    if troubles:
        raise StorageError(troubles[0])
    return f"{found['entries']:,} answers, {found['bytes']:,} bytes"


def _model(opened: Services, name: str) -> Iterator[Finding]:
    try:
        target = opened.targets.choose(name).target
    except LlmctlError as error:
        yield f"model {name}", False, error.message
        return
    if target.provider == "local":
        yield _tried(f"model {name}", lambda: _embedded(opened, target.bare_model))
        return
    for reference in target.keys:
        yield _tried(f"key of {name}", lambda reference=reference: _key(opened, reference))  # type: ignore[misc]  # bound now
    if target.provider != "local":
        yield _tried(f"breaker of {name}", lambda: _breaker(opened, target))
    if target.api_base:
        yield _tried(f"endpoint of {name}", lambda: _reach(target.api_base or ""))


def _key(opened: Services, reference: str) -> str:
    opened.secrets.resolve(reference)
    return f"{reference} is there"


def _breaker(opened: Services, target: Target) -> str:
    from llmctl.core.errors import BreakerOpen

    seen = opened.circuits.of_target(target)
    if seen.state == "open":
        raise BreakerOpen(
            f"open after {seen.failures} failures in a row, the next try is due in {seen.due:.0f} s",
            hint="llmctl breaker reset",
        )
    return f"{seen.state}, {seen.failures} failures in a row"


def _embedded(opened: Services, name: str) -> str:
    from llmctl.core.errors import MissingExtra
    from llmctl.providers.weights import find

    if find_spec("xllamacpp") is None:
        raise MissingExtra("the embedded model", "local")
    return f"local/{name}: {find(name, opened.home)}"


def _reach(base: str) -> str:
    """A TCP connection, no more: nothing is asked, nothing is paid."""
    import socket
    from urllib.parse import urlsplit

    from llmctl.core.addresses import refuse_resolved
    from llmctl.core.errors import ConnectionFailed

    parts = urlsplit(base)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        places = socket.getaddrinfo(parts.hostname or "", port, type=socket.SOCK_STREAM)
        refuse_resolved(parts.hostname or "", [str(place[4][0]) for place in places])
        socket.create_connection((parts.hostname or "", port), REACH_S).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no server can have
        reason = getattr(error, "strerror", None) or "no name of a server"
        raise ConnectionFailed(f"{parts.hostname}:{port} cannot be reached: {reason}") from None
    return f"{parts.hostname}:{port} answers"
