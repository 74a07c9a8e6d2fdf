"""From a key's reference to the key: `env:NAME`, `file:PATH`, `cmd:COMMAND`, `keyring:SERVICE/NAME`.

No error here ever holds a value, nor what a command wrote: only the reference and what to do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmctl.core.errors import AuthError, ConfigError, MissingExtra

if TYPE_CHECKING:
    from subprocess import Popen

MAX_BYTES = 64 * 1024
SECONDS = 10.0
"""What a key's file may hold at most, and how long a key's command may take."""


def resolve(reference: str, environ: Mapping[str, str]) -> str:
    """The key that `reference` names.

    AuthError where there is none (unset, empty, a failing command); ConfigError where it may not be used:
    a file that others can read, signs that no key has, a reference of no known form.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and rest:
        value = environ.get(rest, "")
    elif scheme == "file" and rest:
        value = _from_file(reference, rest, environ)
    elif scheme == "cmd" and rest.strip():
        value = _from_command(reference, rest, environ)
    elif scheme == "keyring" and "/" in rest.strip("/"):
        value = _from_keyring(reference, rest)
    else:
        raise ConfigError(
            "a key's reference has no known form",
            hint="write env:NAME, file:PATH, cmd:COMMAND or keyring:SERVICE/NAME",
        )
    return _checked(reference, value)


def describe(reference: str) -> str:
    """Where a key comes from, in words for people; looks nothing up."""
    scheme, _, rest = reference.partition(":")
    if scheme == "keyring":
        service, _, name = rest.partition("/")
        return f"{name} of {service} in the system's keyring"
    kinds = {"env": "environment variable", "file": "file", "cmd": "output of the command"}
    return f"{kinds[scheme]} {rest}" if scheme in kinds else "no reference of a known form"


def _checked(reference: str, value: str) -> str:
    if value.endswith("\n") and not reference.startswith("env:"):  # files and commands end with one
        value = value[:-1].removesuffix("\r")
    if not value.strip():
        raise AuthError(
            f"there is no key: {describe(reference)} is unset or empty", hint=_how_to_set(reference)
        )
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(
            f"the key of {reference} holds a space, a line end, a control or a non-ASCII character",
            hint="copy it again, without anything around it (the key is not shown here)",
        )
    return value


def _how_to_set(reference: str) -> str:
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        return f"set it: export {rest}=…, or name another key in the profile"
    if scheme == "keyring":
        return f"store it: llmctl keys set {reference}"
    return "put the key there, or name another in the profile"


def _from_file(reference: str, name: str, environ: Mapping[str, str]) -> str:
    path = Path(environ.get("HOME", "~") + name[1:]) if name.startswith("~/") else Path(name)
    try:
        # Judged and read through one descriptor, so that the file cannot be exchanged in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise AuthError(f"there is no key: {reference} does not exist", hint=_how_to_set(reference)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"{reference} cannot be read: {reason}", hint="check the path") from None
    try:
        _refuse_open_to_others(reference, path, os.fstat(descriptor))
        return _decoded(reference, os.read(descriptor, MAX_BYTES + 1))
    finally:
        os.close(descriptor)


def _refuse_open_to_others(reference: str, path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(
            f"{reference} is not a file", hint="name a file that holds the key and nothing else"
        )
    if os.name == "posix" and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(f"{reference} is open to others (mode {mode:04o})", hint=f"run: chmod 600 {path}")
    if os.name == "posix" and status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{reference} belongs to another user", hint="use a file of your own")


def _decoded(reference: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{reference} gives more than {MAX_BYTES:,} bytes", hint="a key is a short text")
    return data.decode("utf-8", "replace")


def _from_command(reference: str, command: str, environ: Mapping[str, str]) -> str:
    import shlex
    import subprocess

    try:
        words = shlex.split(command)
    except ValueError:
        raise ConfigError(f"{reference}: the quotes do not match", hint="mend the command") from None
    try:
        # The profile's owner wrote the command, and no shell reads it. In a session of its own, so that
        # what it starts ends with it.
        process = subprocess.Popen(  # noqa: S603
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a command"
        raise ConfigError(f"{reference} cannot be run: {reason}", hint="check the command's name") from None
    with process:
        data = _output(process)
    if data is None:
        hint = "run the command by hand: does it ask something?"
        raise AuthError(f"{reference} gave no key within {SECONDS:g} s", hint=hint)
    if len(data) <= MAX_BYTES and process.returncode:
        hint = "run the command by hand to see why"
        raise AuthError(f"{reference} failed with exit code {process.returncode}", hint=hint)
    return _decoded(reference, data)


def _output(process: Popen[bytes]) -> bytes | None:
    """What the command writes, up to the cap; None where it does not end in time. It has ended after this."""
    import select
    import signal
    import subprocess
    import time

    assert process.stdout is not None
    end = time.monotonic() + SECONDS
    data = b""
    try:
        while len(data) <= MAX_BYTES:
            if not select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            chunk = os.read(process.stdout.fileno(), MAX_BYTES)
            if not chunk:
                process.wait(max(0.0, end - time.monotonic()))
                return data
            data += chunk
        return data
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _from_keyring(reference: str, place: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise MissingExtra(reference, "keyring") from None
    service, _, name = place.partition("/")
    try:
        return keyring.get_password(service, name) or ""
    except KeyringError:
        raise ConfigError(
            f"{reference}: the system's keyring is locked or missing",
            hint="unlock it, or use env: or file: where there is none (servers, CI)",
        ) from None
