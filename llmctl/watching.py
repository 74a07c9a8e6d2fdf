"""Everything that can be watched, brought together: figures, how things stand, running batches."""

from __future__ import annotations

from typing import Any

from llmctl import __version__
from llmctl.batch.running import batches
from llmctl.health import health
from llmctl.services import Services
from llmctl.usage.metrics import metrics
from llmctl.usage.report import Query


def exposition(opened: Services, query: Query) -> str:
    """Metrics for Prometheus. StorageError where ledger or state cannot be read, ConfigError as usual."""
    from llmctl.formats.prometheus import text

    found = metrics(opened.home / "ledger.db", query, now=opened.clock.now())
    return text(found, health(opened), running(opened), __version__)


def running(opened: Services) -> list[dict[str, Any]]:
    """The batches that run now, as JSON objects."""
    found = batches(opened.home, now=opened.clock.now())
    return [each.envelope() for each in found if each.state == "running"]
