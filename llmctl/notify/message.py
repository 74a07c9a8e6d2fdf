"""What is told: one message, in the forms that receivers take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Kind = Literal["alert.firing", "alert.reminder", "alert.resolved", "alert.test"]


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same whenever the same thing is told again; `at` Unix seconds; `data` is JSON."""

    id: str
    kind: Kind
    at: float
    title: str
    text: str
    data: Mapping[str, Any]

    def body(self) -> bytes:
        """JSON for programs; with `text` also what most chat rooms take."""
        body = {
            "schema": 1,
            "type": self.kind,
            "id": self.id,
            "timestamp": _iso(self.at),
            "text": plain(self.text),
            "data": self.data,
        }
        try:
            return orjson.dumps(body)
        except TypeError:  # half a sign that no UTF-8 has, in a name
            import json

            return json.dumps(body).encode()

    def slack(self) -> bytes:
        """A Slack webhook's form, which Mattermost, Rocket.Chat and Discord (`/slack`) take too."""
        return orjson.dumps({"text": slack_text(self.text)})


def plain(text: str) -> str:
    """One line without control codes or signs that turn a line's direction."""
    return "".join(char if char.isprintable() else " " for char in text)


def slack_text(text: str) -> str:
    """Slack's three signs are written out, so that no name becomes a link, a mention or a mark."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _iso(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
