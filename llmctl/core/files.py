"""Folders and files that only their owner may read, whatever the umask says.

What is there already and looser is tightened; what belongs to somebody else, is a symbolic link, or is
shared by all (`/tmp`) is refused: whoever put it there may want to read, or to be believed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from llmctl.core.errors import StorageError

ELSEWHERE = "choose another folder with --home"


def private_folder(path: Path, *, link: bool = False) -> Path:
    """The folder, made 0700 where it is not. StorageError where it cannot be used.

    `link`: it may be a symbolic link to a folder of the user's own, as the home of state may.
    """
    try:
        _make(path)
        status = path.stat() if link else path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise StorageError(f"{path}: {_what(status)}, not a folder", hint=ELSEWHERE)
        if not (
            link and os.geteuid() == 0
        ):  # root in a container, a home of the host's: files are still judged
            refuse_foreign(path, status)
        if status.st_mode & 0o077:
            if status.st_mode & stat.S_ISVTX:
                raise StorageError(f"{path}: shared by all users", hint="choose a folder of your own")
            path.chmod(0o700)
    except OSError as error:
        raise unwritable(path, error) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"{path}: not writable", hint=ELSEWHERE)
    return path


def _make(path: Path) -> None:
    """The folder and those above it, each 0700: a parent that is made on the way holds state too."""
    if path.exists() or path.is_symlink():
        return
    if path.parent != path:
        _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def expanded(name: str | Path) -> Path:
    """The path that a user writes, `~` being the home; as in a shell `~name` of nobody stays as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: {error.strerror or error}", hint=ELSEWHERE)


def refuse_foreign(path: Path, status: os.stat_result) -> None:
    """StorageError where it belongs to another user than us or root."""
    if status.st_uid not in (os.geteuid(), 0):
        raise StorageError(f"{path}: belongs to another user", hint=ELSEWHERE)


def private_file(path: Path, *, make: bool = False) -> None:
    """An existing file made 0600, with `make` a missing one too. StorageError where it is not ours.

    An existing one is not opened: closing it would end the locks that SQLite holds in this process.
    """
    try:
        if make and not os.path.lexists(path):
            _new(path)
        status = path.lstat()
        _refuse_strange(path, status)
        if status.st_mode & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(path, error) from None


def _new(path: Path) -> None:
    with suppress(FileExistsError):
        try:
            os.mknod(path, 0o600)
        except PermissionError:  # not for everybody on every system
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def private_descriptor(path: Path, flags: int) -> int:
    """As `os.open`, for a regular file of our own, 0600. OSError; StorageError where it is not ours."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StorageError(f"{path}: a symbolic link, not a file", hint="move it away") from None
        raise
    try:
        status = os.fstat(fd)
        _refuse_strange(path, status)
        if status.st_mode & 0o177 and flags & os.O_ACCMODE != os.O_RDONLY:
            os.fchmod(fd, 0o600)
    except BaseException:  # whatever it was: the descriptor must not stay open
        os.close(fd)
        raise
    return fd


def private_lock(path: Path, flags: int, *, wait: bool = False) -> int | None:
    """A private descriptor that others' locks exclude until it is closed; None where one does already.

    The name is still that file's: who opened one just before it was removed or replaced would lock, and
    write, what nobody finds. `wait`: for as long as others need. OSError, StorageError.
    """
    while True:
        fd = private_descriptor(path, flags)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.stat()):
                    return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:  # whatever it was: the descriptor must not stay open
            os.close(fd)
            raise
        os.close(fd)


def private_open(path: Path, flags: int, mode: str) -> IO[Any]:
    """A private file as a file object in UTF-8 or bytes. OSError; StorageError where it is not ours."""
    return os.fdopen(private_descriptor(path, flags), mode, encoding=None if "b" in mode else "utf-8")


def _refuse_strange(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{path}: {_what(status)}, not a file", hint="move it away")
    refuse_foreign(path, status)


def _what(status: os.stat_result) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(status.st_mode), "something else")
