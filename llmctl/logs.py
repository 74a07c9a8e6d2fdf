"""Opens the log of some services, as their profile and the command want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmctl.state.log import FileLog

if TYPE_CHECKING:
    from llmctl.services import Services


def opened(services: Services) -> FileLog | None:
    """None where the profile turns it off and nobody asked to be told."""
    rule = services.profile.logs
    if rule.level == "off" and services.tell is None:
        return None
    log = FileLog(
        services.home / "logs",
        services.run_id,
        level="debug" if services.tell is not None else rule.level,
        max_bytes=rule.max_bytes,
        keep=rule.keep,
        group=services.group,
    )
    log.warn, log.tell = services.warn, services.tell
    return log


def listen(services: Services) -> None:
    """Leads what libraries log to the services' log: before one of them that does is used."""
    from llmctl.providers import foreign

    foreign.listen(services.log, texts=services.profile.privacy.log_texts, alone=services.alone)
