"""The JSON that scripts read: one object, `"schema": 1` first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import orjson

SCHEMA = 1


def write_json(body: Mapping[str, Any]) -> None:
    """One line on stdout, in UTF-8."""
    sys.stdout.write(json_line(body))


def json_line(body: Mapping[str, Any]) -> str:
    """The object as one line with its schema number."""
    whole = {"schema": SCHEMA, **body}
    try:
        return orjson.dumps(whole, option=orjson.OPT_NON_STR_KEYS).decode() + "\n"
    except TypeError:  # half a sign that no UTF-8 has, in a folder's name: written out
        import json

        return json.dumps(whole, separators=(",", ":")) + "\n"
