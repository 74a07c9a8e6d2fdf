"""A value for a JSON schema: enough of the standard for the schemas people give to models."""

from __future__ import annotations

import math
from typing import Any

Json = dict[str, Any]

FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEEP = 6  # below this only what is required is filled in, so that recursive schemas end


def example(schema: Json, root: Json | None = None, depth: int = 0) -> Any:
    """The same valid value each time. Gemini's upper-case type names are taken too."""
    root = schema if root is None else root
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return example(_plainest(schema[choice]), root, depth + 1)
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, depth)
        case "integer":
            return int(_number(schema, whole=True))
        case "number":
            return _number(schema, whole=False)
        case "boolean":
            return True
        case "null":
            return None
    return _string(schema)


def _resolve(schema: Json, root: Json) -> Json:
    while "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
            target = target[part] if part else target
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    for part in schema.get("allOf", ()):
        whole = _resolve(part, root)
        merged = {
            "properties": {**schema.get("properties", {}), **whole.get("properties", {})},
            "required": [*schema.get("required", []), *whole.get("required", [])],
        }
        schema = {**schema, **whole, **{key: value for key, value in merged.items() if value}}
    return schema


def _plainest(choices: list[Json]) -> Json:
    """The first choice that does not refer further, so that recursion ends."""
    return next((choice for choice in choices if "$ref" not in choice), choices[0])


def _type(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind).lower()


def _object(schema: Json, root: Json, depth: int) -> Json:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    names = [name for name in properties if depth < DEEP or name in required]
    value = {name: example(properties[name], root, depth + 1) for name in names}
    return value | {name: "text" for name in required if name not in properties}


def _array(schema: Json, root: Json, depth: int) -> list[Any]:
    length = max(schema.get("minItems", 0), 1 if depth < DEEP else 0)
    length = min(length, schema.get("maxItems", length))
    first = [example(item, root, depth + 1) for item in schema.get("prefixItems", [])]
    rest = [example(schema.get("items", {}), root, depth + 1) for _ in range(length - len(first))]
    return first + rest


def _number(schema: Json, *, whole: bool) -> float:
    step = schema.get("multipleOf", 1 if whole else 0.5)
    low = schema.get("minimum", schema.get("exclusiveMinimum", min(step, schema.get("maximum", step))))
    value = float(math.ceil(low / step) * step)
    if value <= schema.get("exclusiveMinimum", -math.inf):
        value += step
    return value


def _string(schema: Json) -> str:
    text = FORMATS.get(schema.get("format", ""), "text")
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
