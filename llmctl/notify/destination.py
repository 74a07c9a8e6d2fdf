"""Where messages go: read from a profile's `notify`, sent with a few quick attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit

from llmctl.core.addresses import refuse_address
from llmctl.core.errors import ConfigError, ForbiddenAddress, LlmctlError
from llmctl.notify.message import Message

SLACK = "slack+"
WEB = ("http", "https")
REFERENCES = ("env:", "file:", "cmd:", "keyring:")
PAUSES_S = (0.25, 1.0, 2.0)
"""Waits between the attempts of one sending."""
ATTEMPT_S = 4.0
"""How long a receiver may take to answer."""
SLACK_S = 0.2
"""So much longer whoever sends may take to say himself that it took too long."""


@dataclass(frozen=True, slots=True)
class Destination:
    """`item` as the profile has it; the address may hold a secret and is never shown.

    `plain` says whether http:// may leave this machine.
    """

    item: str
    kind: Literal["webhook", "slack", "apprise"]
    address: str
    plain: bool = False

    @property
    def shown(self) -> str:
        """For people: the reference, or of an address only scheme and host."""
        return shown(self.item)


def shown(item: str) -> str:
    """An entry of `notify` without what may be secret in it."""
    if item.removeprefix(SLACK).startswith(REFERENCES):
        return item
    scheme, host = _split(item.removeprefix(SLACK))
    return f"{scheme}://{host if scheme in WEB and host else '…'}"


def _split(address: str) -> tuple[str, str]:
    """Scheme and host, empty where it has none. Of apprise's addresses the host may be a secret."""
    try:
        parts = urlsplit(address)
        return parts.scheme.lower(), parts.hostname or ""
    except ValueError:
        return "", ""


def destination(item: str, resolve: Callable[[str], str], plain_http: Collection[str] = ()) -> Destination:
    """With its reference looked up. LlmctlError where that fails, is no address, or one nothing may go to."""
    bare = item.removeprefix(SLACK)
    is_reference = bare.startswith(REFERENCES)
    address = (resolve(bare) if is_reference else bare).strip()
    is_slack = item.startswith(SLACK) or address.startswith(SLACK)
    address = address.removeprefix(SLACK)
    scheme, host = _split(address)
    if not scheme or (scheme in WEB and not host):
        raise ConfigError(f"notify: {shown(item)}: not an address", hint="for example https://host/path")
    try:
        refuse_address(address, plain_http)
    except ConfigError as error:
        raise ForbiddenAddress(f"notify: {shown(item)}: {error.message}", hint=error.hint) from None
    if scheme not in WEB:
        return Destination(item, "apprise", address)
    is_slack = is_slack or host.endswith("slack.com") or (is_reference and "slack" in bare.lower())
    return Destination(item, "slack" if is_slack else "webhook", address, host in plain_http)


class Refused(Exception):
    """The receiver did not take the message; `again` says whether it might the next time."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


def send(to: Destination, message: Message, key: str | None, until: float) -> str | None:
    """Tries a few times, until monotonic seconds at most. None: it was taken; else why it was not."""
    for pause in (*PAUSES_S, None):
        left = until - time.monotonic()
        if left <= 0:
            return "no answer in time"
        try:
            _within(min(left, ATTEMPT_S), lambda seconds: _send(to, message, key, seconds))
        except Refused as refused:
            if pause is None or not refused.again or time.monotonic() + pause >= until:
                return str(refused)
            time.sleep(pause)
        except LlmctlError as error:
            return error.message
        else:
            return None
    return None


def _within(seconds: float, step: Callable[[float], None]) -> None:
    """Raises what the step raises; Refused where it takes longer, as with a receiver that trickles."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            step(seconds)
        except BaseException as error:  # noqa: BLE001  # whatever it is: for whoever waits
            raised.append(error)

    thread = Thread(target=work, name="llmctl notify", daemon=True)
    thread.start()
    thread.join(seconds + SLACK_S)
    if raised:
        raise raised[0]
    if thread.is_alive():
        raise Refused("no answer in time", again=True)


def _send(to: Destination, message: Message, key: str | None, seconds: float) -> None:
    if to.kind == "apprise":
        from llmctl.notify.by_apprise import notify

        notify(to.address, message)
        return
    from llmctl.notify.webhook import judge_resolved, post

    body = message.slack() if to.kind == "slack" else message.body()
    judge_resolved(to.address, plain=to.plain)
    post(to.address, body, message.id, key, seconds)
