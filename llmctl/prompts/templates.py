"""Template files: found, read, checked.

Markdown with a YAML head between lines of `---`, and a Jinja2 body; see `library/` for examples.
`.yaml` files are templates of `llm`, `.prompty` files those of Prompty (`foreign`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.config.nodes import Node, ProfileError, parse
from llmctl.core.files import expanded
from llmctl.core.profile import CHECKS
from llmctl.prompts.model import KINDS, ExamplesRule, Missing, Template, TemplateError, Variable, nearest
from llmctl.prompts.variables import convert

MAX_BYTES = 1_000_000
SUFFIXES = (".md", ".prompty", ".yaml", ".yml")
LEVELS = ("built-in", "user", "project")
HEAD = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
KEYS = [
    "name",
    "description",
    "system",
    "model",
    "params",
    "variables",
    "schema",
    "examples",
    "cot",
    "checks",
]
VARIABLE_KEYS = ["type", "default", "help", "required", "values"]
EXAMPLE_KEYS = ["file", "choose", "inside"]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where templates lie: the project's and the user's `prompts` folders; the package's come last."""

    project: Path
    user: Path

    def folder(self, level: int) -> Path:
        return (Path(__file__).parent / "library", self.user / "prompts", self.project / "prompts")[level]

    def all(self) -> Iterator[tuple[str, Path, str]]:
        """Every template as (name, path, level), the strongest of each name first."""
        for level in (2, 1, 0):
            folder = self.folder(level)
            if folder.is_dir():
                for path in sorted(folder.iterdir()):
                    if path.suffix in SUFFIXES and path.is_file():
                        yield path.stem, path, LEVELS[level]


def load(name: str, folders: Folders) -> Template:
    """The template of that name, or in that file. TemplateError (exit 3) where there is none."""
    if "/" in name or "\\" in name or name.endswith(SUFFIXES):
        return read(expanded(name), name)
    for found, path, level in folders.all():
        if found == name:
            return read(path, _shown(path, level, folders))
    known = sorted({found for found, _, _ in folders.all()})
    raise TemplateError(f"there is no template {name!r}", hint=nearest(name, known))


def _shown(path: Path, level: str, folders: Folders) -> str:
    if level == "built-in":
        return f"built-in {path.name}"
    return str(path.relative_to(folders.project)) if level == "project" else str(path)


def read(path: Path, source: str | None = None) -> Template:
    """The template in a file; `source` is its name in messages."""
    source = source or str(path)
    text = _text(path, source)
    if path.suffix in (".yaml", ".yml"):
        from llmctl.prompts.foreign import from_llm

        return from_llm(text, source, path)
    head, body, line = split_head(text, source)
    if path.suffix == ".prompty":
        from llmctl.prompts.foreign import from_prompty

        return from_prompty(head, body, line, source, path)
    return from_markdown(head, body, line, source, path)


def _text(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TemplateError(
            f"{source}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None
    if len(data) > MAX_BYTES:
        raise TemplateError(f"{source}: larger than {MAX_BYTES:,} bytes", hint="give texts as variables")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TemplateError(f"{source}:{line}: not UTF-8", hint="save the file as UTF-8") from None


def split_head(text: str, source: str) -> tuple[Node, str, int]:
    """The head's node (an empty map where there is none), the body and the body's first line."""
    match = HEAD.match(text)
    if match is None:
        if text.startswith("---\n"):
            raise TemplateError(f"{source}:1: the head does not end", hint="close it with a line ---")
        return Node({}, source, 1), text, 1
    # The empty line stands for the opening ---, so that lines in errors are the file's.
    return yaml_head("\n" + match[1], source), text[match.end() :], text.count("\n", 0, match.end()) + 1


def yaml_head(text: str, source: str) -> Node:
    try:
        return parse(text, source)
    except ProfileError as error:
        raise TemplateError(error.message, hint=error.hint) from None


def wrong(node: Node, path: str, problem: str, hint: str = "") -> TemplateError:
    return TemplateError(f"{node.place}: {path}: {problem}", hint=hint)


def from_markdown(head: Node, body: str, line: int, source: str, path: Path | None = None) -> Template:
    """A template of our own format; TemplateError at the first key that is wrong."""
    keys = mapping(head, "", KEYS)
    readers: Mapping[str, Callable[[Node, str], Any]] = {
        **dict.fromkeys(("name", "description", "system", "model"), text_of),
        "params": lambda node, key: mapping(node, key) and node.plain(),
        "variables": variables_of,
        "schema": schema_of,
        "examples": lambda node, key: examples_of(node, key, path),
        "cot": flag_of,
        "checks": checks_of,
    }
    read = {key: readers[key](node, key) for key, node in keys.items() if node.value is not None}
    if "system" in read:
        read["system_line"] = keys["system"].line
    read.setdefault("name", path.stem if path else "template")
    return Template(source=source, body=body, body_line=line, path=path, **read)


def mapping(node: Node, path: str, known: list[str] | None = None) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise wrong(node, path, "a map is wanted", "write `key: value` lines")
    for key, child in node.value.items():
        if known is not None and key not in known:
            raise wrong(child, f"{path}.{key}" if path else key, "unknown key", nearest(key, known))
    return node.value


def text_of(node: Node, path: str) -> str:
    if not isinstance(node.value, str):
        raise wrong(node, path, "a text is wanted", "quote it")
    return node.value


def flag_of(node: Node, path: str) -> bool:
    if not isinstance(node.value, bool):
        raise wrong(node, path, "true or false is wanted")
    return node.value


def texts_of(node: Node, path: str) -> tuple[str, ...]:
    items = node.value if isinstance(node.value, list) else [node]
    return tuple(text_of(item, path) for item in items)


def checks_of(node: Node, path: str) -> tuple[str, ...]:
    """Codes of `prompts.check`, or `all`."""
    for item in node.value if isinstance(node.value, list) else [node]:
        code = text_of(item, path)
        if code not in (*CHECKS, "all"):
            raise wrong(item, path, f"{code!r} is no check", nearest(code, (*CHECKS, "all")))
    return texts_of(node, path)


def schema_of(node: Node, path: str) -> Mapping[str, Any] | str:
    """A JSON schema written out, or what `prompts.schema.load` reads: short form or file."""
    if isinstance(node.value, str):
        return node.value
    schema: Mapping[str, Any] = mapping(node, path) and node.plain()
    return schema


def variables_of(node: Node, path: str) -> dict[str, Variable]:
    found = {}
    for name, child in mapping(node, path).items():
        if not name.isidentifier():
            raise wrong(child, f"{path}.{name}", "not a name", "letters, digits and _ alone")
        found[name] = _variable(name, child, f"{path}.{name}")
    return found


def _variable(name: str, node: Node, path: str) -> Variable:
    """A map of keys; a bare value is the default, nothing at all a required text."""
    if node.value is None:
        return Variable(name)
    keys = mapping(node, path, VARIABLE_KEYS) if isinstance(node.value, dict) else {"default": node}
    kind = (
        text_of(keys["type"], f"{path}.type") if "type" in keys else "enum" if "values" in keys else "string"
    )
    if kind not in KINDS:
        raise wrong(keys["type"], f"{path}.type", f"{kind!r} is no type", nearest(kind, KINDS))
    values = _choices(keys["values"], f"{path}.values") if "values" in keys else ()
    if (kind == "enum") != bool(values):
        raise wrong(node, path, "`values` and the type enum belong together", "values: [a, b, c]")
    required = flag_of(keys["required"], f"{path}.required") if "required" in keys else "default" not in keys
    help_ = text_of(keys["help"], f"{path}.help") if "help" in keys else ""
    variable = Variable(name, kind, Missing, help_, required, values)
    if "default" not in keys:
        return variable
    default = keys["default"].plain()
    if default is not None:
        default = convert(variable, default, f"{keys['default'].place}: {path}.default")
    return Variable(name, kind, default, help_, required, values)


def _choices(node: Node, path: str) -> tuple[str, ...]:
    if not isinstance(node.value, list):
        raise wrong(node, path, "a list is wanted", "values: [a, b, c]")
    return tuple(str(item) for item in node.plain())


def examples_of(node: Node, path: str, template: Path | None) -> ExamplesRule:
    """A file's name, a list of {input, output}, or a map of file, choose and inside."""
    folder = template.parent if template else Path()
    if isinstance(node.value, str):
        return ExamplesRule(file=folder / node.value)
    if isinstance(node.value, list):
        for number, item in enumerate(node.value):
            row = mapping(item, f"{path}[{number}]", ["input", "output"])
            if len(row) < 2:
                raise wrong(item, f"{path}[{number}]", "input and output are wanted")
        return ExamplesRule(rows=tuple(node.plain()))
    keys = mapping(node, path, EXAMPLE_KEYS)
    if "file" not in keys:
        raise wrong(node, path, "'file' is missing", "file: examples.jsonl")
    return ExamplesRule(
        file=folder / text_of(keys["file"], f"{path}.file"),
        choose=text_of(keys["choose"], f"{path}.choose") if "choose" in keys else "all",
        inside=flag_of(keys["inside"], f"{path}.inside") if "inside" in keys else False,
    )
