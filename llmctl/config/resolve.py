"""One profile out of its chain of parents and the settings files, each value with where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from llmctl.config.find import LEVELS, SUFFIXES, Places
from llmctl.config.nodes import Node, ProfileError, read
from llmctl.config.schema import build_profile, fail, suggest
from llmctl.core.files import expanded
from llmctl.core.profile import Profile

FLAG = LEVELS.index("flag")


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the chain and the level it was found at."""

    node: Node
    level: int
    path: Path


@dataclass(frozen=True, slots=True)
class Resolved:
    """A profile, its name, the files it was made of (weakest first) and the merged nodes."""

    name: str
    profile: Profile
    files: tuple[Path, ...]
    root: Node

    def origins(self) -> Iterator[tuple[str, Any, str]]:
        """Every value as (path, value, where it came from); `default` where no file names it."""
        yield from _origins(self.profile, self.root, "")


def resolve(name: str, places: Places) -> Resolved:
    """The profile of that name, or in that file, with the project's and the user's settings over it."""
    chain = _chain(*_locate(name, places), places)
    documents = _with_settings(chain, places)
    root = documents[0].node
    for document in documents[1:]:
        root = merge(root, document.node)
    assert isinstance(root.value, dict)
    profile = build_profile(root)
    stem = chain[-1].path.stem
    return Resolved(stem, profile, tuple(document.path for document in documents), root)


def is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.endswith(SUFFIXES)


def _locate(name: str, places: Places) -> tuple[Path, int]:
    if is_path(name):
        return expanded(name), FLAG
    found = places.named(name)
    if found is None:
        known = sorted({known for known, _, _ in places.all()})
        raise ProfileError(f"there is no profile {name!r}", hint=suggest(name, known))
    return found


def _chain(path: Path, level: int, places: Places) -> list[Document]:
    """The file and its parents, the root first. ProfileError prints a circle whole."""
    chain: list[Document] = []
    seen: list[Path] = []
    while True:
        document = Document(read(path, _shown(path, level, places)), level, path)
        chain.append(document)
        seen.append(path.resolve())
        parent = _parent(document, places)
        if parent is None:
            return chain[::-1]
        path, level = parent
        if path.resolve() in seen:
            circle = " -> ".join([*(file.stem for file in seen[seen.index(path.resolve()) :]), path.stem])
            raise ProfileError(
                f"{chain[-1].node.source}: profiles inherit in a circle: {circle}",
                hint="remove one `extends`",
            )


def _shown(path: Path, level: int, places: Places) -> str:
    """The file's name in messages: shipped ones by their short name, others as the user wrote them."""
    if level == 0:
        return f"built-in {path.name}"
    try:
        return str(path.relative_to(places.project))
    except ValueError:
        return str(path)


def _parent(document: Document, places: Places) -> tuple[Path, int] | None:
    assert isinstance(document.node.value, dict)
    node = document.node.value.get("extends")
    if node is None or node.value is None:
        return None
    if not isinstance(node.value, str) or "\0" in node.value:
        raise fail(node, "extends", "the name of one profile is wanted")
    if is_path(node.value):
        return document.path.parent / expanded(node.value), document.level
    itself = node.value == document.path.stem
    found = places.named(node.value, below=document.level if itself else len(LEVELS)) or (
        document.path,
        document.level,
    )
    if found[0] == document.path and not itself:
        known = sorted({name for name, _, _ in places.all()})
        raise fail(node, "extends", f"there is no profile {node.value!r}", suggest(node.value, known))
    return found


def _with_settings(chain: list[Document], places: Places) -> list[Document]:
    """Settings files stand over the profiles of their own level and under those of a higher one."""
    documents = list(chain)
    for level in (1, 2):
        path = places.settings(level)
        if path is None:
            continue
        node = read(path, _shown(path, level, places))
        assert isinstance(node.value, dict)
        overlay = {key: child for key, child in node.value.items() if key not in ("profile", "extends")}
        at = next((n for n, document in enumerate(documents) if document.level > level), len(documents))
        documents.insert(at, Document(Node(overlay, node.source, node.line), level, path))
    return documents


def merge(under: Node, over: Node) -> Node:
    """Maps merge, lists and scalars replace."""
    if not (isinstance(under.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(under.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, over.source, over.line)


def chosen_name(places: Places) -> tuple[str, str] | None:
    """The name that `profile:` in a settings file gives, and that file; None where none does."""
    for level in (2, 1):
        path = places.settings(level)
        if path is None:
            continue
        node = read(path, _shown(path, level, places))
        assert isinstance(node.value, dict)
        name = node.value.get("profile")
        if name is not None and name.value is not None:
            if not isinstance(name.value, str):
                raise fail(name, "profile", "the name of a profile is wanted")
            return name.value, f"{node.source}:{name.line}"
    return None


def _origins(value: Any, node: Node | None, path: str) -> Iterator[tuple[str, Any, str]]:
    inner = node.value if node is not None and isinstance(node.value, dict) else None
    if is_dataclass(value) and not (node is not None and inner is None and node.value is not None):
        for field in fields(value):
            where = f"{path}.{field.name}" if path else field.name
            yield from _origins(getattr(value, field.name), inner.get(field.name) if inner else None, where)
    elif isinstance(value, Mapping) and value and inner:
        for key, child in value.items():
            yield from _origins(child, inner.get(key), f"{path}.{key}")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _origins(getattr(value, field.name), node, f"{path}.{field.name}")
    else:
        yield path, value, node.place if node is not None else "default"
