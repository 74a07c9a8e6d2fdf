"""The filters and methods that a template may use; each knows what it will make before it makes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from llmctl.prompts.sandbox import ITEM, MAX_BODY, Meter, OutOfBounds, whole_number

MAX_INDENT = 64
MAX_CHARS = 64
"""Characters that `strip` and `trim` may be given: their work is this many times the text's length."""
WORD = re.compile(r"\S+")
FORMAT = re.compile(r"%(?:%|[-+ 0#]{0,3}\d{0,2}(?:\.\d{1,2})?[sdfgexX])")
SIMPLE = frozenset(
    [
        "upper",
        "lower",
        "title",
        "capitalize",
        "casefold",
        "swapcase",
        "removeprefix",
        "removesuffix",
        "startswith",
        "endswith",
        "find",
        "rfind",
        "count",
        "isdigit",
        "isalpha",
        "isalnum",
        "isupper",
        "islower",
        "isspace",
        "isnumeric",
    ]
)
"""Methods of texts whose result is about as long as the text."""
LAZY = ("map", "select", "reject", "selectattr", "rejectattr")
EAGER = [
    "default",
    "d",
    "first",
    "last",
    "length",
    "count",
    "sort",
    "unique",
    "reverse",
    "min",
    "max",
    "dictsort",
    "items",
    "groupby",
    "int",
    "float",
    "abs",
    "attr",
]


def table() -> dict[str, Callable[..., Any]]:
    """Filters by name; those that end in `!` are the sandbox's own and cannot be written in a template."""
    from jinja2 import pass_context
    from jinja2.filters import FILTERS

    own: dict[str, Callable[..., Any]] = {
        name: pass_context(partial(_own, function)) for name, function in OWN.items()
    }
    lazy = {name: _metered(FILTERS[name], always=True) for name in LAZY}
    return own | lazy | {name: _metered(FILTERS[name], always=False) for name in EAGER}


def _own(function: Callable[..., Any], context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    return function(context.meter, value, *args, **kwargs)


def _metered(function: Any, always: bool) -> Callable[..., Any]:
    """Jinja2's own filter, its input counted item by item as it is read."""
    from jinja2 import pass_context

    wants = getattr(function, "jinja_pass_arg", None)

    @pass_context
    def filtered(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        meter = context.meter
        meter.charge()
        if isinstance(value, Iterator) or (always and hasattr(value, "__iter__")):
            value = meter.each(value, ITEM)
        if wants is None:
            return function(value, *args, **kwargs)
        first = context if wants.name == "context" else getattr(context, wants.name, context.environment)
        return function(first, value, *args, **kwargs)

    return filtered


def _text(meter: Meter, value: Any) -> str:
    """The value as a text; only what is no text yet is charged for."""
    return value if isinstance(value, str) else meter.text(value)


def simple(name: str) -> Callable[..., Any]:
    """A method of texts as a filter, its result charged."""

    def apply(meter: Meter, value: Any, *args: Any) -> Any:
        return meter.made(getattr(_text(meter, value), name)(*args))

    return apply


def strip(name: str, meter: Meter, value: Any, chars: str | None = None) -> str:
    if chars is not None and len(chars) > MAX_CHARS:
        raise OutOfBounds(f"more than {MAX_CHARS} characters to strip")
    text: str = meter.made(getattr(_text(meter, value), name)(chars))
    return text


def split(meter: Meter, value: str, separator: str | None = None, most: int = -1) -> list[str]:
    limit = meter.room // ITEM + 1
    if separator is None:
        pieces = sum(1 for _ in islice(WORD.finditer(value), limit))
    else:
        pieces = value.count(separator) + 1
    meter.charge(ITEM * min(pieces, most + 1 if most >= 0 else pieces) + len(value))
    return value.split(separator, most)


def lines(meter: Meter, value: str) -> list[str]:
    """Lines end at a line feed alone, so that U+2028 inside a text splits nothing."""
    return split(meter, value.removesuffix("\n"), "\n")


def replace(meter: Meter, value: Any, old: str, new: str, count: int = -1) -> str:
    text = _text(meter, value)
    found = text.count(old)
    meter.charge(len(text) + len(new) * (min(found, count) if count >= 0 else found))
    return text.replace(old, new, count)


def join(meter: Meter, values: Any, separator: str = "", attribute: str | None = None) -> str:
    parts = []
    for value in meter.each(values, ITEM):
        item = value if attribute is None else _attribute(value, attribute)
        part = item if isinstance(item, str) else meter.text(item)
        meter.charge(len(part) + len(separator))
        parts.append(part)
    return separator.join(parts)


def _attribute(value: Any, name: str | int) -> Any:
    """A field of a map or an item of a list; rows and variables hold nothing else."""
    try:
        return value[name]
    except (KeyError, IndexError, TypeError):
        raise OutOfBounds(f"there is no {name!r} in a {type(value).__name__}") from None


def concat(meter: Meter, values: list[Any]) -> str:
    return join(meter, values)


def as_list(meter: Meter, values: Any) -> list[Any]:
    return list(meter.each(values, ITEM))


def total(meter: Meter, values: Any, attribute: str | None = None, start: float = 0) -> float:
    items = (item if attribute is None else _attribute(item, attribute) for item in meter.each(values))
    result = start
    for item in items:
        if not isinstance(item, int | float):
            raise OutOfBounds("`sum` adds numbers only")
        result += item
    return result


def rounded(meter: Meter, value: float, precision: int = 0) -> float:
    meter.charge()
    return round(float(value), whole_number(precision, -15, 15, "the precision of `round`"))


def indent(meter: Meter, value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    margin = " " * whole_number(width, 0, MAX_INDENT, "the width of `indent`")
    text = _text(meter, value)
    meter.charge(len(text) + (text.count("\n") + 1) * (len(margin) + ITEM))
    head, *rest = text.split("\n")
    return "\n".join([margin + head if first else head, *(margin + s if s or blank else s for s in rest)])


def truncate(meter: Meter, value: Any, length: int = 255, killwords: bool = False, end: str = "…") -> str:
    """At most `length` characters and `end`, cut between words unless `killwords`."""
    text = _text(meter, value)
    if len(text) <= length:
        return text
    cut = text[: max(length - len(end), 0)]
    whole = cut if killwords else cut.rsplit(" ", 1)[0]
    return str(meter.made(whole + end))


def words(meter: Meter, value: Any) -> int:
    text = _text(meter, value)
    meter.charge()
    return sum(1 for _ in meter.each(WORD.finditer(text)))


def to_json(meter: Meter, value: Any, indent: int | None = None) -> str:
    """JSON as it is, without the HTML escapes of Jinja2's own."""
    import json

    meter.made(value)
    depth = None if indent is None else whole_number(indent, 0, 8, "the indent of `tojson`")
    return str(meter.made(json.dumps(value, ensure_ascii=False, indent=depth)))


def formatted(meter: Meter, value: str, *args: Any) -> str:
    """`"%.2f"|format(x)`: places of at most two digits, nothing that a `*` could widen."""
    if "%" in FORMAT.sub("", value):
        raise OutOfBounds("`format` takes places such as %s, %d, %.2f, %5.1f")
    meter.charge(100 * value.count("%") + len(value))
    return value % tuple(_plain(meter, item) for item in args)


def _plain(meter: Meter, item: Any) -> Any:
    return item if isinstance(item, int | float) else meter.text(item)


def turns(meter: Meter, values: Any, weight: int) -> Iterator[Any]:
    """What a loop goes over. The name can be reached through `map`, so the weight is checked."""
    return meter.each(values, whole_number(weight, 0, MAX_BODY, "the weight of a loop"))


def seen(meter: Meter, value: Any) -> Any:
    meter.charge()
    return value


OWN: dict[str, Callable[..., Any]] = {
    "each!": turns,
    "made!": Meter.made,
    "concat!": concat,
    "seen!": seen,
    "string": _text,
    "trim": partial(strip, "strip"),
    "upper": simple("upper"),
    "lower": simple("lower"),
    "title": simple("title"),
    "capitalize": simple("capitalize"),
    "replace": replace,
    "join": join,
    "list": as_list,
    "sum": total,
    "round": rounded,
    "indent": indent,
    "truncate": truncate,
    "wordcount": words,
    "tojson": to_json,
    "format": formatted,
}
METHODS: dict[str, Callable[..., Any]] = {name: simple(name) for name in SIMPLE} | {
    "strip": partial(strip, "strip"),
    "lstrip": partial(strip, "lstrip"),
    "rstrip": partial(strip, "rstrip"),
    "split": split,
    "splitlines": lines,
    "replace": replace,
    "join": lambda meter, separator, values: join(meter, values, separator),
}
"""Methods of texts, each taking the meter and the text."""
READING: dict[str, frozenset[str]] = {
    "dict": frozenset(["get", "items", "keys", "values"]),
    "list": frozenset(["index", "count"]),
    "LoopContext": frozenset(["cycle", "changed"]),
}
"""Methods that only read, by their owner's type: called as they are."""


def method(meter: Meter, called: Any) -> Callable[..., Any]:
    """What a call in a template really calls. OutOfBounds for everything that is not listed."""
    owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
    if isinstance(owner, str) and name in METHODS:
        return partial(METHODS[name], meter, owner)
    if name in READING.get(type(owner).__name__, ()):
        function: Callable[..., Any] = called
        return function
    if type(called).__name__ == "StrictUndefined":
        str(called)  # says itself which name is undefined
    raise OutOfBounds(f"{name or type(called).__name__!r} may not be called in a prompt")
