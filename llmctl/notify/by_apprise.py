"""Everything that apprise knows: mail, Telegram, Discord, Teams, desktop messages and a hundred more."""

from __future__ import annotations

import logging

from llmctl.core.errors import ConfigError, MissingExtra
from llmctl.notify.destination import Refused
from llmctl.notify.message import Message, plain


def notify(address: str, message: Message) -> None:
    """Sends once. Refused where the service did not take it; MissingExtra, ConfigError for the address."""
    try:
        from apprise import Apprise
    except ImportError:
        raise MissingExtra("messages through apprise", "notify") from None
    log = logging.getLogger("apprise")
    log.addHandler(logging.NullHandler())  # else its warnings go to stderr, addresses in them
    log.propagate = False
    service = Apprise()
    if not service.add(address):
        raise ConfigError(
            "apprise does not know this kind of address",
            hint="see apprise's list of services, or use https://",
        )
    try:
        taken = service.notify(body=plain(message.text), title=plain(message.title), body_format="text")
    except Exception as error:  # noqa: BLE001  # a hundred services, each with its own ways to fail
        raise Refused(type(error).__name__, again=True) from None
    if not taken:
        raise Refused("not taken", again=True)
