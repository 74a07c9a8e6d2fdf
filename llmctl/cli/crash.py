"""The log that a bug leaves: ready to be pasted, without values and without keys."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llmctl import __version__
from llmctl.cli.failure import traceback_places
from llmctl.cli.options import current
from llmctl.config.find import data_folder
from llmctl.core.errors import StorageError
from llmctl.core.files import expanded, private_folder, private_open
from llmctl.core.hidden import mask


def write_log(error: BaseException, args: list[str]) -> Path | None:
    """Where it was written; None where it could not be. Of the command line only options' names stay."""
    home = current().home_path or expanded(os.environ.get("LLMCTL_HOME") or data_folder(os.environ))
    text = "\n".join(
        [
            f"llmctl {__version__}, Python {platform.python_version()}",
            f"{platform.system()} {platform.machine()}",
            ", ".join(f"{name} {_version(name)}" for name in ("typer", "aiohttp", "litellm", "diskcache")),
            "llmctl " + " ".join(map(_name, args)),
            *(f"  {place}" for place in traceback_places(error.__traceback__)),
            type(error).__name__,
        ]
    )
    try:
        folder = private_folder(home / "logs")
        path = folder / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        with private_open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "w") as file:
            file.write(mask(text) + "\n")
    except (OSError, StorageError):
        return None
    return path


def _name(arg: str) -> str:
    """An option without its value; everything else may be a text of the user."""
    found = re.match(r"--[a-z][a-z-]{1,30}(?=\Z|=)|-[A-Za-z]", arg)
    return found[0] if found else "…"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
