"""llmctl keys: the pool. Which reference, alive, cooling, used up or refused; never the key."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from llmctl.cli.inputs import refuse_key
from llmctl.cli.options import current
from llmctl.cli.session import services
from llmctl.core.errors import AccountError, ConfigError, LlmctlError, MissingExtra, UsageError
from llmctl.core.loop import run as run_core
from llmctl.formats.envelope import write_json
from llmctl.health import Held, held_by, key_health
from llmctl.resilience.pool import Shelf
from llmctl.services import Services

app = typer.Typer(help="Keys: which are alive; never the key.", rich_markup_mode=None, no_args_is_help=True)


@app.command()
def status() -> int:
    """Each key of the profile with its state, as all processes know it. Nothing is asked."""
    opened = services()
    told([key_health(opened, held).envelope() for held in held_by(opened)])
    return 0


@app.command()
def check() -> int:
    """Ask each key's provider for its list of models, which costs nothing. Exit 4 where one is refused."""
    opened = services()
    rows, refused = run_core(_checked(opened, list(held_by(opened))))
    told(rows)
    return refused


@app.command("set")
def put(
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="keyring:SERVICE/NAME")],
) -> int:
    """Store a key in the system's keyring. It is asked for, or read from stdin, never an argument."""
    refuse_key(reference, "REFERENCE")
    service, slash, name = reference.removeprefix("keyring:").partition("/")
    if not reference.startswith("keyring:") or not (service and slash and name):
        raise UsageError(f"{reference}: only a keyring's keys are stored", hint="write keyring:SERVICE/NAME")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise MissingExtra(reference, "keyring") from None
    key = _typed(reference)
    try:
        keyring.set_password(service, name, key)
    except KeyringError:
        raise ConfigError(
            f"{reference}: the system's keyring is locked or missing",
            hint="unlock it, or use env: or file: where there is none (servers, CI)",
        ) from None
    if current().json:
        write_json({"reference": reference, "stored": True})
    else:
        sys.stdout.write(f"{reference}: stored\n")
    return 0


def _typed(reference: str) -> str:
    """The key, without its line end; UsageError where it is none."""
    if sys.stdin.isatty():
        from getpass import getpass

        key = getpass(f"{reference}: ")
    else:
        key = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            "that is no key: it is empty, or holds a space, a control or a non-ASCII character",
            hint=f"for example: llmctl keys set {reference} < FILE",
        )
    return key


async def _checked(opened: Services, keys: list[Held]) -> tuple[list[dict[str, Any]], int]:
    from llmctl.core.loop import loop

    await loop()
    rows, code = [], 0
    try:
        for held in keys:
            error = await _asked(opened, held)
            shelf = Shelf(held.target, held.reference, lambda: opened.state)
            if error is None:
                shelf.wake()
            row = key_health(opened, held).envelope()
            row["state"] = (
                "alive" if error is None else "refused" if isinstance(error, AccountError) else "unknown"
            )
            row["detail"] = None if error is None else error.message
            rows.append(row)
            code = 4 if isinstance(error, AccountError) else code or (error.exit_code if error else 0)
    finally:
        await opened.close()
    return rows, code


async def _asked(opened: Services, held: Held) -> LlmctlError | None:
    """What the provider has against the key, or why that cannot be known; None: it is alive."""
    try:
        await opened.connections.list_models(held.target, held.reference)
    except LlmctlError as error:
        return error
    return None


def told(rows: list[dict[str, Any]]) -> None:
    if current().json:
        write_json({"keys": rows})
        return
    for row in rows:
        rests = f" for {row['rests_s']:.0f} s" if row["rests_s"] else ""
        said = f"  {row['detail']}" if row.get("detail") else ""
        models = ", ".join(row["models"])
        sys.stdout.write(
            f"{row['state'] + rests:<18}  {row['reference']:<32}  {models}, used {row['used']:,}x{said}\n"
        )
    if not rows:
        sys.stdout.write("this profile needs no key\n")
