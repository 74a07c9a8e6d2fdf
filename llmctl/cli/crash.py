"""The log that a bug leaves: ready to be pasted, without values and without keys."""

from __future__ import annotations

import os
import platform
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llmctl import __version__
from llmctl.config.find import data_folder
from llmctl.core.errors import StorageError
from llmctl.state.files import private_folder


def write_log(error: BaseException, args: list[str]) -> Path | None:
    """Where it was written; None where it could not be. Of the command line only options' names stay."""
    home = Path(os.environ.get("LLMCTL_HOME") or data_folder(os.environ))
    names = [arg.partition("=")[0] if arg.startswith("-") else "…" for arg in args]
    text = "\n".join(
        [
            f"llmctl {__version__}, Python {platform.python_version()}",
            f"{platform.system()} {platform.machine()}",
            ", ".join(f"{name} {_version(name)}" for name in ("typer", "aiohttp", "litellm", "diskcache")),
            "llmctl " + " ".join(names),
            *(
                f"  {frame.filename}:{frame.lineno} in {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)
            ),
            type(error).__name__,
        ]
    )
    try:
        folder = private_folder(home / "logs")
        path = folder / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o600)
    except (OSError, StorageError):
        return None
    return path


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
