"""The lock file: every dependency pinned with checksums, and no address of an index."""

from __future__ import annotations

import re
import tomllib

from .blocks import ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def name_of(requirement: str) -> str:
    """The normalised name that a requirement begins with."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def lock() -> str:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_no_address_is_in_the_lock() -> None:
    """Somebody behind a mirror must be able to install from it."""
    assert "://" not in lock()
    assert not re.search(r"^\s*--?(index|extra-index|find-links|i\b)", lock(), re.MULTILINE)


def test_every_pin_has_checksums() -> None:
    """pip --require-hashes refuses the whole file for one that has none."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock(), flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)


def test_every_dependency_is_locked_within_its_bounds() -> None:
    """A dependency added to pyproject.toml has to be locked with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [requirement for group in groups for requirement in group]
    pins = {name_of(name): version for name, version in PIN.findall(lock())}
    assert {name_of(requirement) for requirement in wanted} <= set(pins)
    assert pins["litellm"] == "1.106.2"
