"""State is its owner's alone, whatever the umask says and whoever was there before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.core.errors import StorageError
from llmctl.core.files import expanded, private_descriptor, private_file, private_folder


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The most careless one."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_folders_made_on_the_way_are_private_too(tmp_path: Path) -> None:
    """A home that others may enter gives away what its folders are called."""
    made = private_folder(tmp_path / "home" / "cache")
    assert (mode(made), mode(made.parent)) == (0o700, 0o700)


def test_looser_ones_are_tightened(tmp_path: Path) -> None:
    """What an older version or a careless copy left."""
    (tmp_path / "home").mkdir(mode=0o777)
    (tmp_path / "file").touch(mode=0o666)
    private_folder(tmp_path / "home")
    private_file(tmp_path / "file")
    assert (mode(tmp_path / "home"), mode(tmp_path / "file")) == (0o700, 0o600)


def test_a_folder_of_everybody_is_left_alone(tmp_path: Path) -> None:
    """`--home /tmp` as root must neither be used nor locked for the rest of the machine."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    with pytest.raises(StorageError, match="shared by all users"):
        private_folder(tmp_path / "tmp")
    assert mode(tmp_path / "tmp") == 0o1777


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Who can place a link chooses where we write."""
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "target").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    with pytest.raises(StorageError, match="a symbolic link, not a folder"):
        private_folder(tmp_path / "folder")
    assert private_folder(tmp_path / "folder", link=True)  # the home itself is the user's to place
    for name in ("file", "dangling"):
        with pytest.raises(StorageError, match="a symbolic link"):
            private_file(tmp_path / name, make=True)
        with pytest.raises(StorageError, match="a symbolic link"):
            private_descriptor(tmp_path / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    assert (tmp_path / "target").read_text() == "precious" and not (tmp_path / "new").exists()


def test_a_new_file_is_made_without_being_opened(tmp_path: Path) -> None:
    """SQLite's locks end when any descriptor of the file is closed."""
    private_file(tmp_path / "db", make=True)
    private_file(tmp_path / "db", make=True)
    assert mode(tmp_path / "db") == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_others_is_refused(tmp_path: Path) -> None:
    """They could read it, or make us believe it."""
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "file").touch(mode=0o600)
    for name in ("folder", "file"):
        os.chown(tmp_path / name, 12345, 12345)
    with pytest.raises(StorageError, match="another user"):
        private_folder(tmp_path / "folder")
    assert private_folder(tmp_path / "folder", link=True)  # a host's folder as the home of a container
    with pytest.raises(StorageError, match="another user"):
        private_file(tmp_path / "file")
    with pytest.raises(StorageError, match="another user"):
        private_descriptor(tmp_path / "file", os.O_RDONLY)


def test_paths_as_users_write_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell leaves `~name` alone where nobody is called that, and so a file may be called it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x"
    assert expanded("~nobody-is-called-this/x") == Path("~nobody-is-called-this/x")
