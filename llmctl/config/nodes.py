"""YAML read defensively into nodes that know their file and line.

Refused with the place: tags that build objects, double keys, aliases that recurse or multiply
(more than MAX_NODES nodes after expansion), more than MAX_DEPTH levels, more than MAX_BYTES bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.core.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 40
TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = frozenset(
    TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map")
)


class ProfileError(ConfigError):
    """A file of the configuration is wrong: the message starts with file, line and path."""

    type = "profile"


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place: a dict or list of nodes, or a scalar."""

    value: dict[str, Node] | list[Node] | str | int | float | bool | None
    source: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    def plain(self) -> Any:
        """The value alone, as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def strings(self) -> Iterator[Node]:
        """Every text below this node, keys of maps left out."""
        if isinstance(self.value, str):
            yield self
        for child in self.children():
            yield from child.strings()

    def children(self) -> list[Node]:
        if isinstance(self.value, dict):
            return list(self.value.values())
        return self.value if isinstance(self.value, list) else []


def read(path: Path, source: str | None = None) -> Node:
    """The file's one document, a map. ProfileError says what is wrong where; `source` is the name shown."""
    source = source or str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ProfileError(
            f"{source}: cannot be read: {reason}", hint="check the path and its permissions"
        ) from None
    if len(data) > MAX_BYTES:
        raise ProfileError(f"{source}: larger than {MAX_BYTES:,} bytes", hint="a profile is a small file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{source}:{line}: not UTF-8", hint="save the file as UTF-8") from None
    return parse(text, source)


def parse(text: str, source: str) -> Node:
    """As `read`, from text. An empty document is an empty map."""
    import yaml

    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = loader_class(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Node({}, source, 1)
        node = _Reader(loader, source).node(root, depth=0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise ProfileError(f"{place}: {problem}", hint="mend the YAML") from None
    except RecursionError:
        raise ProfileError(f"{source}: nested too deeply", hint=f"at most {MAX_DEPTH} levels") from None
    finally:
        loader.dispose()
    if not isinstance(node.value, dict):
        raise ProfileError(f"{node.place}: not a map of keys", hint="write `key: value` lines")
    return node


class _Reader:
    def __init__(self, loader: Any, source: str) -> None:
        self.loader = loader
        self.source = source
        self.count = 0

    def fail(self, raw: Any, problem: str, hint: str) -> ProfileError:
        return ProfileError(f"{self.source}:{raw.start_mark.line + 1}: {problem}", hint=hint)

    def node(self, raw: Any, depth: int) -> Node:
        self.count += 1
        if self.count > MAX_NODES:
            raise self.fail(raw, "too many values (aliases multiply)", f"at most {MAX_NODES:,}")
        if depth > MAX_DEPTH:
            raise self.fail(raw, "nested too deeply (or an alias to itself)", f"at most {MAX_DEPTH} levels")
        if raw.tag not in PLAIN_TAGS:
            raise self.fail(raw, f"the tag {_short(raw.tag)} is not allowed", "write plain values")
        return Node(self.value(raw, depth), self.source, raw.start_mark.line + 1)

    def value(self, raw: Any, depth: int) -> Any:
        if raw.id == "mapping":
            return self.mapping(raw, depth)
        if raw.id == "sequence":
            return [self.node(child, depth + 1) for child in raw.value]
        if raw.tag == TAG + "timestamp":
            return raw.value
        try:
            value = self.loader.construct_object(raw)
        except ValueError as error:
            raise self.fail(raw, f"not a value: {error}", "quote it if it is a text") from None
        except LookupError:  # `!!bool maybe`, `!!int ""`
            problem = f"{raw.value!r} is no {_short(raw.tag)}"
            raise self.fail(raw, problem, "write it without the tag") from None
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise self.fail(raw, "a whole number of more than 64 bits", "quote it if it is a text")
        return value

    def mapping(self, raw: Any, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, child in raw.value:
            if key.id != "scalar":
                raise self.fail(key, "a key must be a plain name", "write `name: value`")
            if key.value in found:
                first = found[key.value].line
                raise self.fail(
                    key, f"the key {key.value!r} stands here again (first at line {first})", "keep one"
                )
            found[key.value] = self.node(child, depth + 1)
        return found


def _short(tag: str) -> str:
    return tag.replace(TAG, "!!") if tag else "!"
