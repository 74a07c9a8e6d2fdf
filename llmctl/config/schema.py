"""Turns nodes into the classes of `core.profile`, checking every value against its rule."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from llmctl.config.nodes import Node, ProfileError
from llmctl.core.errors import ConfigError
from llmctl.core.fields import Rule
from llmctl.core.hidden import has_open_key, names_key
from llmctl.core.model import NOT_PARAMS
from llmctl.core.money import to_nanos
from llmctl.core.profile import Profile

REFERENCE = r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|cmd:.+|keyring:[^/]+/.+)"
REFERENCES = "write env:NAME, file:PATH, cmd:COMMAND or keyring:SERVICE/NAME"
OPEN_WEBHOOK = r"://[^/@]*:[^/@]*@|//hooks\.slack\.com/|//(?:\w+\.)?discord(?:app)?\.com/api/webhooks/"
"""Addresses of messages that are secrets themselves."""
SHORTEST_KEY = 15
BOUNDED = ("number", "money", "duration", "amount")
LONGEST = 100 * 366 * 86_400.0
"""Seconds; beyond these, sums with the time of day end in years that no calendar has."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def fail(node: Node, path: str, problem: str, hint: str = "") -> ProfileError:
    return ProfileError(f"{node.place}: {path}: {problem}" if path else f"{node.place}: {problem}", hint=hint)


def build_profile(root: Node) -> Profile:
    """The profile that the merged `root` describes; ProfileError at the first wrong value."""
    refuse_open_keys(root)
    profile: Profile = build(Profile, root, "")
    _refuse_addresses(root, profile.plain_http)
    return profile


def _refuse_addresses(root: Node, plain_http: tuple[str, ...]) -> None:
    """An address that nothing may be sent to is refused where it is written."""
    for path, node in _addresses(root):
        if "://" not in str(node.value):
            continue
        from llmctl.core.addresses import refuse_address

        try:
            refuse_address(str(node.value).removeprefix("slack+"), plain_http)
        except ConfigError as error:
            raise fail(node, path, error.message, error.hint) from None
        if path.startswith("notify") and re.search(OPEN_WEBHOOK, str(node.value)):
            hint = "put the address into the environment and write env:NAME"
            raise fail(node, path, "a secret is written out in the open", hint)


def _addresses(root: Node) -> Iterator[tuple[str, Node]]:
    for section in ("models", "providers"):
        for name, entry in _children(_children(root).get(section)).items():
            if node := _children(entry).get("api_base"):
                yield f"{section}.{name}.api_base", node
    notify = _children(root).get("notify")
    items = notify.value if notify is not None else None
    for number, item in enumerate(items if isinstance(items, list) else [notify] if notify else []):
        yield f"notify[{number}]", item


def _children(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def refuse_open_keys(root: Node) -> None:
    """A key written out is refused wherever it stands; the message never repeats it."""
    for node in root.strings():
        if len(str(node.value)) >= SHORTEST_KEY and has_open_key(str(node.value)):
            raise fail(
                node, "", "a key is written out in the open", "put it in the environment and write env:NAME"
            )


def refuse_keys_in(node: Node, path: str) -> None:
    """Parameters and headers named like a key: a header may be a reference, a parameter holds none."""
    for name, child in node.value.items() if isinstance(node.value, dict) else ():
        where = f"{path}.{name}"
        if names_key(name) and isinstance(child.value, str):
            if not path.endswith(".headers"):
                hint = "take it out; the model's `keys: [env:NAME]` says where its key is"
                raise fail(child, where, "a key has no place among the parameters", hint)
            if not is_reference(child.value):
                raise fail(child, where, "a key is written out in the open", REFERENCES)
        if name in ("headers", "extra_headers", "default_headers", "extra_body"):
            refuse_keys_in(child, where)


def is_reference(text: str) -> bool:
    """Whether a text is a reference to a key, and not the key."""
    return re.fullmatch(REFERENCE, text) is not None


def build(of: type, node: Node, path: str) -> Any:
    rules: dict[str, Rule] = {field.name: field.metadata["rule"] for field in fields(of)}
    if not isinstance(node.value, dict):
        raise fail(node, path, f"a map of keys is wanted, not {_kind(node)}", f"keys: {', '.join(rules)}")
    known = {}
    for key, child in node.value.items():
        where = f"{path}.{key}" if path else key
        if key not in rules:
            raise fail(child, where, "unknown key", suggest(key, list(rules)))
        known[key] = read(rules[key], child, where)
    for field in fields(of):
        if field.metadata["rule"].required and field.name not in known:
            raise fail(node, path, f"{field.name!r} is missing", f"add `{field.name}: …`")
    built = of(**known)
    if (problem := getattr(built, "problem", None)) and (found := problem()):
        key, what, hint = found
        raise fail(node.value.get(key, node), f"{path}.{key}" if key else path, what, hint)
    return built


def read(rule: Rule, node: Node, path: str) -> Any:
    if node.value is None and (rule.null or rule.kind in ("section", "table", "rows", "texts", "values")):
        return _empty(rule)
    if rule.low is not None and rule.kind in BOUNDED and isinstance(node.value, bool):
        raise fail(node, path, f"a number is wanted, not {_kind(node)}")
    return READERS[rule.kind](rule, node, path)


def _empty(rule: Rule) -> Any:
    if rule.kind == "section":
        return rule.of() if rule.of else None
    return {"table": {}, "values": {}, "rows": (), "texts": ()}.get(rule.kind)


def _number(rule: Rule, node: Node, path: str) -> float | int:
    number = _as_float(node, path)
    if rule.low is not None and number < rule.low:
        raise fail(node, path, f"{number:g} is too small", f"at least {rule.low:g}")
    if rule.high is not None and number > rule.high:
        raise fail(node, path, f"{number:g} is too large", f"at most {rule.high:g}")
    if not rule.whole:
        return number
    if abs(number) >= 2**63:
        raise fail(node, path, f"{number:g} is too large", "at most 64 bits")
    if number != int(number):
        raise fail(node, path, f"a whole number is wanted, not {number:g}")
    return int(number)


def _as_float(node: Node, path: str) -> float:
    try:
        number = float(node.value)  # type: ignore[arg-type]  # what is no number raises, and is reported
    except (TypeError, ValueError, OverflowError):
        raise fail(node, path, f"a number is wanted, not {_kind(node)}") from None
    if not math.isfinite(number):
        raise fail(node, path, f"a finite number is wanted, not {number}")
    return number


def _money(rule: Rule, node: Node, path: str) -> int:
    return to_nanos(_number(rule, node, path))


def _duration(rule: Rule, node: Node, path: str) -> float:
    seconds = _seconds(rule, node, path)
    if seconds > LONGEST:
        raise fail(node, path, f"{node.value} is too long", "at most a hundred years")
    return seconds


def _seconds(rule: Rule, node: Node, path: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", str(node.value))
    if match:
        return float(match[1]) * UNITS[match[2]]
    if isinstance(node.value, str) and not re.fullmatch(r"-?[\d.]+(e\d+)?", node.value):
        raise fail(
            node, path, f"a time is wanted, not {node.value!r}", "seconds, or such as 30s, 15m, 2h, 7d"
        )
    return float(_number(rule, node, path))


def _amount(rule: Rule, node: Node, path: str) -> float:
    return _duration(rule, node, path) if isinstance(node.value, str) else float(_number(rule, node, path))


def _flag(rule: Rule, node: Node, path: str) -> bool:
    if not isinstance(node.value, bool):
        raise fail(node, path, f"true or false is wanted, not {_kind(node)}")
    return node.value


def _text(rule: Rule, node: Node, path: str) -> str:
    if isinstance(node.value, dict | list | bool) or node.value is None:
        raise fail(node, path, f"a text is wanted, not {_kind(node)}")
    if rule.reference and not is_reference(str(node.value)):
        raise fail(node, path, "a key must be a reference, never the key itself", REFERENCES)
    if rule.zone and str(node.value).upper() not in ("UTC", "Z"):
        _known_zone(node, path)
    return str(node.value)


def _known_zone(node: Node, path: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(str(node.value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = suggest(str(node.value), sorted(available_timezones()))
        hint = known if known.startswith("did you mean") else "for example Europe/Madrid"
        raise fail(node, path, f"{node.value}: not a time zone known here", hint) from None


def _choice(rule: Rule, node: Node, path: str) -> str:
    if node.value is False and "off" in rule.choices:
        return "off"  # which YAML takes for a false
    if str(node.value) not in rule.choices:
        raise fail(
            node,
            path,
            f"{node.value!r} is not one of: {', '.join(rule.choices)}",
            suggest(str(node.value), rule.choices),
        )
    return str(node.value)


def _texts(rule: Rule, node: Node, path: str) -> tuple[str, ...]:
    items = node.value if isinstance(node.value, list) else [node]
    single = Rule("choice", choices=rule.choices) if rule.choices else Rule("text")
    found = tuple(str(read(single, item, f"{path}[{n}]")) for n, item in enumerate(items))
    if path.endswith("keys"):
        for item, value in zip(items, found, strict=True):
            if not is_reference(value):
                raise fail(item, path, "a key must be a reference, never the key itself", REFERENCES)
    return found


def _values(rule: Rule, node: Node, path: str) -> Mapping[str, Any]:
    if not isinstance(node.value, dict):
        raise fail(node, path, f"a map is wanted, not {_kind(node)}")
    _finite(node, path)
    if path.rpartition(".")[2] == "params" and not NOT_PARAMS.isdisjoint(node.value):
        key = min(NOT_PARAMS & node.value.keys())
        hint = "api_base, keys: [env:NAME], headers, timeout and retry stand beside params"
        raise fail(node.value[key], f"{path}.{key}", "is no parameter of a model", hint)
    if path.endswith(".headers"):
        _refuse_strange_headers(node, path)
    if path.endswith(("params", "headers")):
        refuse_keys_in(node, path)
    plain: Mapping[str, Any] = node.plain()
    return plain


def _refuse_strange_headers(node: Node, path: str) -> None:
    """Names are tokens and values texts of one line: anything else ends the connection or the command."""
    for name, child in _children(node).items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise fail(child, f"{path}.{name}", "no name of a header", "letters, digits and -")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise fail(child, f"{path}.{name}", "each request has its own", "leave it out")
        if not isinstance(child.value, str) or not child.value.isprintable():
            raise fail(
                child, f"{path}.{name}", f"a text is wanted, not {_kind(child)}", "quote it, on one line"
            )


def _finite(node: Node, path: str) -> None:
    if isinstance(node.value, float) and not math.isfinite(node.value):
        raise fail(node, path, f"a finite number is wanted, not {node.value}")
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            _finite(child, f"{path}.{key}")
    for child in node.value if isinstance(node.value, list) else []:
        _finite(child, path)


def _section(rule: Rule, node: Node, path: str) -> Any:
    assert rule.of is not None
    if rule.short and not isinstance(node.value, dict | list):
        node = Node({rule.short: node}, node.source, node.line)
    return build(rule.of, node, path)


def _table(rule: Rule, node: Node, path: str) -> Mapping[str, Any]:
    if not isinstance(node.value, dict):
        raise fail(node, path, f"a map of names is wanted, not {_kind(node)}")
    return {name: _section(rule, child, f"{path}.{name}") for name, child in node.value.items()}


def _rows(rule: Rule, node: Node, path: str) -> tuple[Any, ...]:
    if not isinstance(node.value, list):
        raise fail(node, path, f"a list is wanted, not {_kind(node)}", "write `- …` lines")
    return tuple(_section(rule, child, f"{path}[{n}]") for n, child in enumerate(node.value))


READERS: dict[str, Callable[[Rule, Node, str], Any]] = {
    "number": _number,
    "money": _money,
    "duration": _duration,
    "amount": _amount,
    "flag": _flag,
    "text": _text,
    "choice": _choice,
    "texts": _texts,
    "values": _values,
    "section": _section,
    "table": _table,
    "rows": _rows,
}


def suggest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """`did you mean …?` with the nearest name, else the names there are."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _kind(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a map"
    if isinstance(node.value, list):
        return "a list"
    return "nothing" if node.value is None else repr(node.value)
