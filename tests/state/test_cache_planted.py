"""A cache folder that somebody tampered with runs nothing, serves nothing and removes nothing else."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from llmctl.core.errors import ConfigError
from llmctl.core.model import Response
from llmctl.state.cache import AnswerCache
from llmctl.state.sealed import Seal

ANSWER = Response("the true answer", "openai/m")
LONG = Response("long " * 20_000, "openai/m")
SECRET = "k" * 32


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def cache(tmp_path: Path) -> AnswerCache:
    """Two entries: one in the database, one in a file of its own."""
    made = AnswerCache(tmp_path / "cache", None, 2**30, lambda text: None)
    made.set("short", ANSWER)
    made.set("long", LONG)
    assert (made.get("short"), made.get("long")) == (ANSWER, LONG)
    made.close()
    return made


def sql(cache: AnswerCache, statement: str, *values: object) -> None:
    with sqlite3.connect(cache.folder / "cache.db") as db:
        db.execute(statement, values)
    db.close()


def value_file(cache: AnswerCache) -> Path:
    (found,) = cache.folder.rglob("*.val")
    return found


def test_pickles_are_never_loaded(cache: AnswerCache, tmp_path: Path) -> None:
    """By value, by file and by key: a pickle is a program."""
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    value_file(cache).write_bytes(bomb)
    for mode in (1, 2, 3, 4):
        sql(cache, "UPDATE Cache SET mode = ?, value = ? WHERE key = 'short'", mode, bomb)
        sql(cache, "UPDATE Cache SET mode = ? WHERE key = 'long'", mode)
        assert cache.get("short") is None and cache.get("long") is None
        cache.close()
    sql(cache, "UPDATE Cache SET key = ?, raw = 0 WHERE key = 'short'", bomb)
    assert cache.get("short") is None
    assert cache.prune() >= 0 and cache.clear() == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:40], lambda data: b""])
def test_cut_values_are_misses(cache: AnswerCache, change: Callable[[bytes], bytes]) -> None:
    """A full disk or a crash leaves the beginning of a file."""
    path = value_file(cache)
    path.write_bytes(change(path.read_bytes()))
    assert cache.get("long") is None
    cache.close()
    sql(cache, "UPDATE Cache SET value = substr(value, 1, length(value) - 2) WHERE key = 'short'")
    assert cache.get("short") is None


def test_changed_words_and_changed_checksums(cache: AnswerCache) -> None:
    """Who changes one of the two changes the answer, or nothing at all."""
    sql(cache, "UPDATE Cache SET value = replace(value, 'true', 'false') WHERE key = 'short'")
    assert cache.get("short") is None
    cache.close()
    path = value_file(cache)
    data = path.read_bytes()
    path.write_bytes((b"0" if data[:1] != b"0" else b"1") + data[1:])
    assert cache.get("long") is None


def test_an_entry_under_another_name(cache: AnswerCache) -> None:
    """A whole entry with its checksum, put in the place of another question's."""
    sql(cache, "UPDATE Cache SET key = 'other' WHERE key = 'short'")
    assert cache.get("other") is None


@pytest.mark.parametrize("name", ["../precious", "/etc/hostname", "ab/cd/../../../precious"])
def test_names_that_lead_out_of_the_folder(cache: AnswerCache, tmp_path: Path, name: str) -> None:
    """Neither served nor, when the entry goes, removed."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    sql(cache, "UPDATE Cache SET mode = 3, filename = ? WHERE key = 'short'", name)
    assert cache.get("short") is None
    cache.set("short", ANSWER)
    assert cache.get("short") == ANSWER
    cache.clear()
    assert precious.read_text() == "precious" and Path("/etc/hostname").exists()


def test_links_in_the_place_of_values(cache: AnswerCache, tmp_path: Path) -> None:
    """A link may point at anything, also at what was right once."""
    path = value_file(cache)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.get("long") is None


def test_a_link_in_the_place_of_the_database(cache: AnswerCache, tmp_path: Path) -> None:
    """The whole cache is then out of order, told once; what the link points at stays as it is."""
    said: list[str] = []
    (cache.folder / "cache.db").rename(tmp_path / "elsewhere.db")
    (cache.folder / "cache.db").symlink_to(tmp_path / "elsewhere.db")
    before = (tmp_path / "elsewhere.db").read_bytes()
    other = AnswerCache(cache.folder, None, 2**30, said.append)
    assert other.get("short") is None
    other.set("short", ANSWER)
    assert len(said) == 1 and "symbolic link" in said[0]
    assert (tmp_path / "elsewhere.db").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("whole", [False, True])
def test_files_of_other_users(cache: AnswerCache, whole: bool) -> None:
    """What others could have written is not believed: a value alone, or all of it."""
    os.chown(cache.folder / "cache.db" if whole else value_file(cache), 12345, 12345)
    assert cache.get("long") is None
    assert (cache.get("short") is None) == whole


def test_whatever_the_umask_says(tmp_path: Path) -> None:
    """The library changes no umask of its host, and its files are private all the same."""
    before = os.umask(0)
    try:
        cache = AnswerCache(tmp_path / "home" / "cache", None, 2**30, lambda text: None)
        cache.set("long", LONG)
        paths = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
        modes = {str(path): path.stat().st_mode & 0o777 for path in paths}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600, 0o700}
    assert all(modes[str(path)] == (0o700 if path.is_dir() else 0o600) for path in paths)


def sealed(folder: Path, key: str = SECRET) -> AnswerCache:
    return AnswerCache(folder, None, 2**30, lambda text: None, seal=lambda: Seal(key, "env:X"))


def test_encrypted_entries(tmp_path: Path) -> None:
    """Neither question nor answer is to be read in any file, and only the same key opens it."""
    pytest.importorskip("cryptography")
    cache = sealed(tmp_path / "cache")
    for name, answer in (("a" * 64, ANSWER), ("b" * 64, LONG)):
        cache.set(name, answer)
        assert cache.get(name) == answer
    cache.close()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert not any(text in kept for text in (b"true answer", b"long long", b"openai", b"a" * 32, b"b" * 32))
    assert sealed(tmp_path / "cache").get("a" * 64) == ANSWER
    assert sealed(tmp_path / "cache", "x" * 32).get("a" * 64) is None
    plain = AnswerCache(tmp_path / "cache", None, 2**30, lambda text: None)
    assert plain.get("a" * 64) is None


def test_encrypted_entries_that_were_changed(tmp_path: Path) -> None:
    """One in another's place, or with a byte of it changed, is none."""
    pytest.importorskip("cryptography")
    cache = sealed(tmp_path / "cache")
    cache.set("a" * 64, ANSWER)
    cache.set("b" * 64, ANSWER)
    seal = Seal(SECRET, "env:X")
    cache.close()
    taken = "(SELECT value FROM Cache WHERE key = ?)"
    sql(cache, f"UPDATE Cache SET value = {taken} WHERE key = ?", seal.name("a" * 64), seal.name("b" * 64))
    assert cache.get("b" * 64) is None and cache.get("a" * 64) == ANSWER
    cache.close()
    sql(cache, "UPDATE Cache SET value = 'ZZ' || substr(value, 3)")
    assert cache.get("a" * 64) is None


def test_a_short_key_is_refused() -> None:
    """A password is guessed; the message says how to make a key, and not what it was."""
    with pytest.raises(ConfigError, match="fewer than 32") as caught:
        Seal("hunter2-hunter2", "env:X")
    assert "hunter2" not in str(caught.value) and "openssl rand" in caught.value.hint


def test_a_cache_that_cannot_be_read_is_made_anew_by_clear(tmp_path: Path) -> None:
    """That is what the warning tells a user to do."""
    (tmp_path / "cache.db").write_bytes(b"garbage")
    (tmp_path / "ab").mkdir()
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    warnings: list[str] = []
    assert AnswerCache(tmp_path, 60, 2**20, warnings.append).clear() == 0
    cache = AnswerCache(tmp_path, 60, 2**20, warnings.append)
    cache.set("k", Response("hi", "m"))
    assert cache.get("k") is not None
    assert warnings == []
    assert (tmp_path / "mine.txt").exists() and not (tmp_path / "ab").exists()
