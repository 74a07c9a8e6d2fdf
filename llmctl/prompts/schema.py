"""JSON schemas: read from where they are written, held in bounds, and answers checked against them.

A schema may come from a stranger: references never leave it, its depth and size are bounded, its
patterns run with a time limit, and so many references are followed for one answer and no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from operator import attrgetter
from pathlib import Path
from threading import local
from typing import Any

from llmctl.core.canonical import canonical
from llmctl.core.errors import ConfigError
from llmctl.core.files import expanded

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 20_000
MAX_REFERENCES = 50_000
"""References followed while one answer is checked: doubling ones would never end."""
PATTERN_SECONDS = 0.2
MAX_LISTED = 5
CLASS_PATH = re.compile(r"([A-Za-z_]\w*(?:\.[a-z_]\w*)*)[:.]([A-Z]\w*(?:\.[A-Z]\w*)*)")
"""`module:Class`, also `module.Class` and `module:Class.Inner`: classes begin with a capital."""
FIELD = re.compile(r"([A-Za-z_]\w*)(?:\s+([A-Za-z]+))?\s*(?::\s*(.*))?", re.DOTALL)
TYPES: Mapping[str, Mapping[str, Any]] = {
    "str": {"type": "string"},
    "string": {"type": "string"},
    "int": {"type": "integer"},
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "string"}},
}


class SchemaError(ConfigError):
    """What was given is no JSON schema, or one that cannot be used."""

    type = "schema"


def load(
    spec: Mapping[str, Any] | str, *, folder: Path | None = None, classes: bool = False
) -> dict[str, Any]:
    """The JSON schema that `spec` names; SchemaError (exit 3) where it is none.

    A map; JSON text; the path of a .json or .yaml file (relative to `folder`); a Pydantic class as
    `module:Class`, imported only with `classes`; or the short form `name, age int, bio: about them`.
    """
    if isinstance(spec, Mapping):
        return checked(dict(spec), "schema")
    text = spec.strip()
    if text.startswith("{"):
        return checked(_json(text, "schema"), "schema")
    if text.lower().endswith((".json", ".yaml", ".yml")) or text.startswith(("./", "../", "/", "~/")):
        return checked(_file((folder or Path()) / expanded(text)), text)
    if path := CLASS_PATH.fullmatch(text):
        if not classes:
            raise SchemaError(
                f"{text}: a template cannot import a class", hint=f"give it yourself: --schema {text}"
            )
        return checked(_class(path[1], path[2]), text)
    return checked(short_form(text), "schema")


def _json(text: str, source: str) -> dict[str, Any]:
    import orjson

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"{source}: not JSON: {error}", hint="mend the schema") from None
    if not isinstance(value, dict):
        raise SchemaError(f"{source}: a JSON object is wanted", hint='{"type": "object", …}')
    return value


def _file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}", hint="check the path") from None
    except UnicodeDecodeError:
        raise SchemaError(f"{path}: not UTF-8", hint="save the file as UTF-8") from None
    if len(data) > MAX_BYTES:
        raise SchemaError(f"{path}: larger than {MAX_BYTES:,} bytes", hint="a schema is a small file")
    if path.suffix.lower() not in (".yaml", ".yml"):
        return _json(text, str(path))
    from llmctl.config.nodes import parse

    value: dict[str, Any] = parse(text, str(path)).plain()
    return value


def _class(module: str, name: str) -> dict[str, Any]:
    """The schema of a Pydantic class, its module looked for in the current folder too."""
    import importlib
    import sys

    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        model = attrgetter(name)(importlib.import_module(module))
        value = model.model_json_schema()
    except Exception as error:  # noqa: BLE001  # importing runs the user's code, which may raise anything
        raise SchemaError(f"{module}:{name}: {error}", hint="name a Pydantic class as module:Class") from None
    finally:
        sys.path.remove(here)
    return dict(value)


def short_form(text: str) -> dict[str, Any]:
    """`name, age int, bio: about them` as a schema; with line breaks, fields are lines."""
    parts = text.split("\n") if "\n" in text else text.split(",")
    properties: dict[str, Any] = {}
    for part in filter(None, map(str.strip, parts)):
        match = FIELD.fullmatch(part)
        kind = (match[2] or "str") if match else ""
        if match is None or kind not in TYPES:
            hint = f"types: {', '.join(TYPES)}" if match else "write: name, age int, bio: about them"
            raise SchemaError(f"schema: {part!r} is no field", hint=hint)
        about = {"description": match[3].strip()} if match[3] else {}
        properties[match[1]] = {**TYPES[kind], **about}
    if not properties:
        raise SchemaError("schema: is empty", hint="write: name, age int, bio: about them")
    return {"type": "object", "properties": properties, "required": list(properties)}


def checked(schema: dict[str, Any], source: str) -> dict[str, Any]:
    """The schema, where it is one and keeps the bounds."""
    import jsonschema

    try:
        _bound(schema, source)
        _class_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "".join(f".{key}" for key in error.absolute_path)
        message = f"{source}: not a JSON schema at ${place}: {shown(error.message)}"
        raise SchemaError(message, hint="see json-schema.org") from None
    except RecursionError:
        raise SchemaError(f"{source}: nested too deeply", hint=f"at most {MAX_DEPTH} levels") from None
    return schema


def _bound(schema: dict[str, Any], source: str) -> None:
    """Size, depth, references and patterns, before jsonschema sees the schema."""
    pending: list[tuple[Any, int]] = [(schema, 0)]
    nodes = 0
    while pending:
        node, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise SchemaError(
                f"{source}: too large", hint=f"at most {MAX_DEPTH} levels and {MAX_NODES:,} values"
            )
        if isinstance(node, Mapping):
            _keywords(node, source)
            pending.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            pending.extend((child, depth + 1) for child in node)


def _keywords(node: Mapping[str, Any], source: str) -> None:
    for key in ("$ref", "$dynamicRef"):
        target = node.get(key)
        if isinstance(target, str) and not target.startswith("#"):
            raise SchemaError(
                f"{source}: the reference {shown(target)!r} leaves the schema",
                hint="nothing is fetched: put it under $defs and write #/$defs/NAME",
            )
    if "unevaluatedProperties" in node and "patternProperties" in node:
        raise SchemaError(f"{source}: unevaluatedProperties beside patternProperties is not supported")
    given = node.get("patternProperties")
    for pattern in [node.get("pattern"), *(given if isinstance(given, Mapping) else ())]:
        if isinstance(pattern, str):
            _matches(pattern, "", source)


def _matches(pattern: str, text: str, source: str = "schema") -> bool:
    """A search that ends: `re` would try a pattern such as (a+)+$ for years."""
    import regex

    try:
        return regex.search(pattern, text, timeout=PATTERN_SECONDS) is not None
    except regex.error as error:
        raise SchemaError(f"{source}: {shown(pattern)!r} is no pattern: {error}") from None
    except TimeoutError:
        raise SchemaError(
            f"{source}: the pattern {shown(pattern)!r} takes too long", hint="write a simpler pattern"
        ) from None


def mismatches(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """What of the value breaks the schema, at most MAX_LISTED lines with JSON paths; empty: nothing.

    The lines never repeat the value. SchemaError where the schema itself cannot be followed to an end.
    """
    _work.references = 0
    try:
        found = _validator(canonical(schema)).iter_errors(value)
        first = [line for line, _ in zip(_lines(found), range(MAX_LISTED + 1), strict=False)]
    except RecursionError:
        raise SchemaError("schema: its references go round in a circle", hint="mend $ref") from None
    if len(first) > MAX_LISTED:
        first[MAX_LISTED] = "and more"
    return first


def _lines(errors: Iterator[Any]) -> Iterator[str]:
    said: set[str] = set()
    for error in errors:
        line = f"{shown(error.json_path)}: {_told(error)}"
        if line not in said:
            said.add(line)
            yield line


def _told(error: Any) -> str:
    """One broken rule in words, without the value."""
    rule, wanted = error.validator, error.validator_value
    if rule == "required":
        missing = [name for name in wanted if name not in error.instance]
        return f"misses {', '.join(map(repr, missing[:MAX_LISTED]))}"
    if rule == "additionalProperties":
        return shown(error.message)
    told = TOLD.get(rule, f"breaks the rule {rule}: {{}}")
    return told.format(shown(wanted if isinstance(wanted, str) else canonical(wanted).decode()))


TOLD = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "is below the minimum {}",
    "maximum": "is above the maximum {}",
    "exclusiveMinimum": "must be above {}",
    "exclusiveMaximum": "must be below {}",
    "minLength": "is shorter than {} characters",
    "maxLength": "is longer than {} characters",
    "minItems": "has fewer than {} items",
    "maxItems": "has more than {} items",
    "pattern": "does not match the pattern {}",
    "uniqueItems": "has the same item twice",
    "anyOf": "fits none of {}",
    "oneOf": "does not fit exactly one of {}",
}


def shown(text: str) -> str:
    """A text short enough for one line of a message."""
    return text if len(text) <= 120 else text[:119] + "…"


_work = local()
"""References followed by the check that this thread is at."""


def _class_for(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator, validators

    return validators.validator_for(schema, default=Draft202012Validator)


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    """The validator of a canonical schema; its references find nothing outside."""
    import orjson
    from referencing import Registry

    value = orjson.loads(schema)
    return _bounded(_class_for(value))(value, registry=Registry())


@cache
def _bounded(base: Any) -> Any:
    """A validator class whose patterns, references and comparisons end."""
    from jsonschema import validators

    counted = {
        key: _counted(base.VALIDATORS[key])
        for key in ("$ref", "$dynamicRef", "$recursiveRef")
        if key in base.VALIDATORS
    }
    return validators.extend(base, {**counted, **KEYWORDS})  # type: ignore[no-untyped-call]


def _counted(follow: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, target: Any, instance: Any, schema: Any) -> Any:
        _work.references += 1
        if _work.references > MAX_REFERENCES:
            raise SchemaError("schema: its references multiply without end", hint="mend $ref")
        return follow(validator, target, instance, schema)

    return counted


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError("does not match")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    for pattern, inner in patterns.items() if isinstance(instance, dict) else ():
        for key, value in instance.items():
            if _matches(pattern, key):
                yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", {})
    extra = [
        key
        for key in instance
        if key not in schema.get("properties", {}) and not any(_matches(p, key) for p in patterns)
    ]
    if isinstance(allowed, dict):
        for key in extra:
            yield from validator.descend(instance[key], allowed, path=key)
    elif not allowed and extra:
        yield ValidationError(f"has unknown fields: {', '.join(map(repr, extra[:MAX_LISTED]))}")


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list) and len({_key(item) for item in instance}) < len(instance):
        yield ValidationError("has the same item twice")


def _key(item: Any) -> Any:
    """Equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    if isinstance(item, dict):
        return frozenset((name, _key(value)) for name, value in item.items())
    if isinstance(item, list):
        return tuple(_key(value) for value in item)
    return (isinstance(item, bool), item)


KEYWORDS: dict[str, Any] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
