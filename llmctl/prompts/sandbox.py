"""Jinja2 held in bounds: no escape, no endless work, no giant results, in any thread.

A template is judged in three steps, none of which needs signals, processes or limits of the system:

1. Before compiling, its size, tokens and depth are bounded, and only the constructs in `ALLOWED` pass:
   output, if, for, set, with and expressions; no macros, includes, imports or recursive loops.
2. Its syntax tree is rewritten, so that everything that takes time or memory reports to a `Meter`:
   turns of loops (with the literal text they repeat), comparisons, tests, lists, slices, `~`, output;
   operators and calls report through the sandbox's own hooks. Filters and methods are the few listed
   in `filters`, each bounded by itself; sizes are computed before anything large is made.
3. The meter holds one allowance of `ROOM` units (a character is 1, an item of a list is `ITEM`) and
   `SECONDS` of the thread's own time. Since values grow only through metered steps, no single step
   between two reports can take more than some milliseconds.

A structure's size is taken deep when it is made: lists that contain themselves many times cost what
they would cost when written out, which shuts out exponential texts, comparisons and hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from time import monotonic, thread_time
from typing import Any

ROOM = 10_000_000
SECONDS = 0.5
ITEM = 64
MAX_RANGE = 100_000
MAX_BITS = 10_000
MAX_BODY = 262_144
MAX_TOKENS = 10_000
# fmt: off
ALLOWED = frozenset([
    "Template", "Output", "TemplateData", "Name", "NSRef", "Const", "List", "Tuple", "Dict", "Pair",
    "Keyword", "If", "For", "Assign", "AssignBlock", "With", "Compare", "Operand", "And", "Or", "Not",
    "Neg", "Pos", "Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow", "Concat", "Getattr", "Getitem",
    "Slice", "Filter", "Test", "Call", "CondExpr",
])
# fmt: on
TAGS = {
    "Macro": "macro",
    "CallBlock": "call",
    "FilterBlock": "filter",
    "ScopedEvalContextModifier": "autoescape",
}
CHEAP_TESTS = frozenset(
    ["defined", "undefined", "none", "boolean", "string", "number", "integer", "float", "mapping", "sequence"]
)
OPERATORS = frozenset(["+", "-", "*", "/", "//", "**", "%"])


class OutOfBounds(Exception):
    """A template asks for more than it may have, or for what it must not touch."""


class Meter:
    """What one rendering has left; every guarded step reports here."""

    __slots__ = ("room", "started", "until")

    def __init__(self) -> None:
        self.room = ROOM
        self.until = monotonic() + SECONDS
        self.started = thread_time()

    def charge(self, size: int = 1) -> None:
        """Takes `size` units. OutOfBounds where none are left or the time is over."""
        self.room -= size
        if self.room < 0:
            raise OutOfBounds(f"the result grows beyond {ROOM:,} characters")
        # The cheap clock first: only its verdict is checked against the thread's own time.
        if monotonic() > self.until and thread_time() - self.started > SECONDS:
            raise OutOfBounds(f"takes longer than {SECONDS:g} s")

    def made(self, value: Any) -> Any:
        """Charges a new value by its deep size and gives it back."""
        self.charge(1 + size(value, self.room))
        return value

    def each(self, values: Iterable[Any], weight: int = 0) -> Iterator[Any]:
        """The values, each charged with the literal text that one turn repeats."""
        for value in values:
            self.charge(1 + weight)
            yield value

    def text(self, value: Any) -> str:
        """A value as the text that enters the prompt."""
        if isinstance(value, str):
            self.charge(len(value))
            return value
        if isinstance(value, int | float) or value is None:
            self.charge(8)
            return str(value)
        self.charge(2 * size(value, self.room))
        return str(value)


def size(value: Any, room: int) -> int:
    """Characters and items of a value, deep, each occurrence counted; OutOfBounds beyond `room`."""
    total = 0
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, list | tuple | range):
            total += ITEM * len(item)
        elif isinstance(item, dict):
            total += 2 * ITEM * len(item)
        elif item is not None and not isinstance(item, int | float):
            str(item)  # an undefined variable says so itself
            raise OutOfBounds(f"a {type(item).__name__} cannot be part of a prompt")
        if total > room:
            raise OutOfBounds(f"the result grows beyond {ROOM:,} characters")
        if isinstance(item, list | tuple):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
    return total


def operate(meter: Meter, operator: str, left: Any, right: Any, apply: Callable[[Any, Any], Any]) -> Any:
    """A binary operator whose result is known to be small, or is measured before it is made."""
    meter.charge()
    if isinstance(left, int | float) and isinstance(right, int | float):
        if operator in ("*", "**") and _bits(operator, left, right) > MAX_BITS:
            raise OutOfBounds(f"a number of more than {MAX_BITS:,} bits")
        return apply(left, right)
    if operator == "*":
        thing, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int) and times > 0:
            meter.charge(max(size(thing, meter.room), 1) * times)
    elif operator == "+":
        meter.charge(size(left, meter.room) + size(right, meter.room))
    elif operator == "%" and isinstance(left, str):
        raise OutOfBounds("`%` on a text is not allowed: write `~`, or the filter `format`")
    return apply(left, right)


def _bits(operator: str, left: Any, right: Any) -> int:
    """An upper bound of the bits of the whole number that `*` or `**` gives; floats do not grow."""
    if isinstance(left, float) or isinstance(right, float):
        return 0
    if operator == "*":
        return int(left.bit_length() + right.bit_length())
    return int(left.bit_length() * max(right, 0)) if abs(left) > 1 else 0


def bounded_range(*args: int) -> range:
    """`range` of at most MAX_RANGE numbers."""
    numbers = range(*args)
    try:
        count = len(numbers)
    except OverflowError:
        count = MAX_RANGE + 1
    if count > MAX_RANGE:
        raise OutOfBounds(f"a range of more than {MAX_RANGE:,} numbers")
    return numbers


def guard(node: Any) -> Any:
    """The syntax tree with every costly node reporting to the meter; `lineno` in errors is Jinja's."""
    from jinja2.exceptions import TemplateSyntaxError
    from jinja2.nodes import Node

    kind = type(node).__name__
    if kind not in ALLOWED or (kind == "For" and node.recursive):
        name = "for … recursive" if kind == "For" else TAGS.get(kind, kind.lower())
        raise TemplateSyntaxError(f"`{name}` is not available in prompts", node.lineno)
    for name, child in list(node.iter_fields()):
        if isinstance(child, list):
            setattr(node, name, [guard(item) if isinstance(item, Node) else item for item in child])
        elif isinstance(child, Node):
            setattr(node, name, guard(child))
    return _reporting(kind, node)


def _reporting(kind: str, node: Any) -> Any:
    from jinja2 import nodes

    if kind == "For":
        node.iter = _through("each!", node.iter, nodes.Const(_literals(node.body)))
    elif kind == "Concat":
        return _through("concat!", nodes.List(node.nodes, lineno=node.lineno))
    elif kind == "Compare" or (kind == "Test" and node.name not in CHEAP_TESTS):
        return _through("seen!", node)
    elif kind == "Tuple" and node.ctx == "load":
        return _through("made!", nodes.List(node.items, lineno=node.lineno))
    elif kind in ("List", "Dict") or (kind == "Getitem" and isinstance(node.arg, nodes.Slice)):
        return _through("made!", node)
    return node


def _through(name: str, node: Any, *args: Any) -> Any:
    """The node behind one of our filters, whose names no template can write."""
    from jinja2 import nodes

    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _literals(body: list[Any]) -> int:
    """Characters of literal text that one turn over this body writes, inner loops left out."""
    total = 0
    for node in body:
        if type(node).__name__ == "TemplateData":
            total += len(node.data)
        elif type(node).__name__ != "For":
            total += _literals(list(node.iter_child_nodes()))
    return total


@cache
def environment() -> Any:
    """The one sandboxed environment, made at the first use since Jinja2 is imported only then."""
    from jinja2 import StrictUndefined, pass_context
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    from llmctl.prompts import filters

    class Metered(Context):
        meter: Meter

    class Sandbox(ImmutableSandboxedEnvironment):
        context_class = Metered
        intercepted_binops = OPERATORS

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            return operate(context.meter, operator, left, right, self.binop_table[operator])

        def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
            context.meter.charge()
            for inner in ("_loop_vars", "_block_vars"):  # Jinja2's own, for functions that take a context
                kwargs.pop(inner, None)
            if obj is bounded_range or obj is Namespace:
                return obj(*args, **kwargs)
            return filters.method(context.meter, obj)(*args, **kwargs)

    @pass_context
    def finalize(context: Any, value: Any) -> str:
        text: str = context.meter.text(value)
        return text

    env = Sandbox(
        undefined=StrictUndefined, finalize=finalize, optimized=False, trim_blocks=True, lstrip_blocks=True
    )
    env.globals = {"range": bounded_range, "namespace": Namespace}
    env.filters = filters.table()
    return env


def parse(source: str) -> Any:
    """The body's syntax tree, its size bounded first. Jinja2's TemplateSyntaxError where it is none."""
    from jinja2.exceptions import TemplateSyntaxError

    if len(source) > MAX_BODY:
        raise TemplateSyntaxError(f"longer than {MAX_BODY:,} characters", 1)
    env = environment()
    for count, token in enumerate(env.lex(source)):
        if count > MAX_TOKENS:
            raise TemplateSyntaxError(f"more than {MAX_TOKENS:,} tokens", token[0])
    return env.parse(source)


def compiled(tree: Any) -> Any:
    """The tree, guarded, as a Jinja2 template."""
    env = environment()
    return env.template_class.from_code(env, env.compile(guard(tree)), dict(env.globals))


def run(template: Any, values: dict[str, Any]) -> str:
    """The text that the template gives; what it raises is told by `render`."""
    context = template.new_context(values)
    context.meter = Meter()
    return "".join(template.root_render_func(context))


def whole_number(value: Any, low: int, high: int, what: str) -> int:
    """An argument of a filter within its bounds."""
    if not isinstance(value, int) or not low <= value <= high:
        raise OutOfBounds(f"{what} must be a whole number from {low} to {high}")
    return value
