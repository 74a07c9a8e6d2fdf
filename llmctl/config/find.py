"""Where profiles and settings lie: the project, the user's folder, and those that ship."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmctl.core.errors import ConfigError

LEVELS = ("built-in", "user", "project", "flag")
SETTINGS = "llmctl.yaml"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Places:
    """The folders looked into, strongest last; `LEVELS` names them."""

    builtin: Path
    user: Path
    project: Path

    def folder(self, level: int) -> Path:
        return self.builtin if level == 0 else (self.user, self.project)[level - 1] / "profiles"

    def settings(self, level: int) -> Path | None:
        """The settings file of a level, where there is one."""
        if level not in (1, 2):
            return None
        path = (self.user, self.project)[level - 1] / SETTINGS
        return path if _is_file(path) else None

    def named(self, name: str, below: int = len(LEVELS)) -> tuple[Path, int] | None:
        """The strongest profile of that name in a level under `below`."""
        for level in range(min(below, 3) - 1, -1, -1):
            for suffix in SUFFIXES:
                path = self.folder(level) / (name + suffix)
                if _is_file(path):
                    return path, level
        return None

    def all(self) -> Iterator[tuple[str, Path, int]]:
        """Every profile found (name, path, level), the strongest of each name first."""
        for level in (2, 1, 0):
            folder = self.folder(level)
            try:
                found = sorted(folder.iterdir()) if folder.is_dir() else []
            except OSError as error:
                raise _unreadable(folder, error) from None
            for path in found:
                if path.suffix in SUFFIXES:
                    yield path.stem, path, level


def _is_file(path: Path) -> bool:
    """ConfigError where that cannot be known: no weaker profile may take the place of one that is hidden."""
    try:
        return path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: cannot be read: {error.strerror}", hint="check the name and its permissions")


def places(environ: Mapping[str, str], cwd: Path) -> Places:
    return Places(builtin=builtin_folder(), user=user_folder(environ), project=cwd)


def builtin_folder() -> Path:
    """The shipped profiles: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def user_folder(environ: Mapping[str, str]) -> Path:
    """The platform's folder for settings."""
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "llmctl"
    if os.name == "posix" and (home := environ.get("HOME")):
        apple = Path(home) / "Library" / "Application Support"
        return (apple if apple.is_dir() else Path(home) / ".config") / "llmctl"
    import platformdirs

    return Path(platformdirs.user_config_dir("llmctl"))


def data_folder(environ: Mapping[str, str]) -> Path:
    """The platform's folder for data: the default of --home."""
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"]) / "llmctl"
    if os.name == "posix" and (home := environ.get("HOME")):
        apple = Path(home) / "Library" / "Application Support"
        return (apple if apple.is_dir() else Path(home) / ".local" / "share") / "llmctl"
    import platformdirs

    return Path(platformdirs.user_data_dir("llmctl"))
