"""Folders and files that only their owner may read, whatever the umask says."""

from __future__ import annotations

import os
from pathlib import Path

from llmctl.core.errors import StorageError


def private_folder(path: Path) -> Path:
    """The folder, made 0700 where it is not. StorageError where it cannot be written."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise unwritable(path, error) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"{path}: not writable", hint="choose another folder with --home")
    return path


def unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: {error.strerror or error}", hint="choose another folder with --home")


def private_file(path: Path) -> None:
    """Tightens an existing file to 0600."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(path, error) from None
