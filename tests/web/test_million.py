"""The page over a million calls: it shows them, and ten times the calls do not cost ten times as much."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ..usage.test_speed import filled, shared
from .conftest import Tab
from .serving import Dashboard, serving

PATHS = ("/metrics/llm", "/api/series", "/api/calls", "/metrics/llm?model=openai/m1", "/metrics")
TIMES = 6


def costs(dashboard: Dashboard) -> dict[str, float]:
    """Seconds of the server's CPU for each answer, the first one left out."""
    found = {}
    for path in PATHS:
        assert dashboard.get(path).status == 200
        before = dashboard.cpu()
        for _ in range(TIMES):
            dashboard.get(path)
        found[path] = (dashboard.cpu() - before) / TIMES
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_calls(
    environ: dict[str, str], work: Path, tmp_path_factory: pytest.TempPathFactory, tab: Callable[..., Tab]
) -> None:
    """Whoever looks in the morning waits for neither the page nor its figures, however long the ledger."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    taken, paints = [], []
    homes = [filled(work / "home", 100_000), shared(tmp_path_factory, 1_000_000)]
    for calls, home in zip((100_000, 1_000_000), homes, strict=True):
        with serving({**environ, "LLMCTL_HOME": str(home)}, work) as dashboard:
            page = tab().open(f"{dashboard.url}/?window=")
            assert page.text("#requests") == {100_000: "100K", 1_000_000: "1M"}[calls]
            assert page.page.locator(".chart canvas").count() == 3
            paints.append(min(page.page.evaluate(paint), *(again(page, paint) for _ in range(3))))
            taken.append(costs(dashboard))
            page.page.close()
    few, many = taken
    for path in PATHS:
        assert many[path] <= 5 * few[path] + 0.01, f"{path}: {many[path]:.3f} s instead of {few[path]:.3f} s"
    assert paints[1] <= 3 * paints[0] + 20, (
        f"first paint after {paints[1]:.0f} ms instead of {paints[0]:.0f} ms"
    )


def again(page: Tab, paint: str) -> float:
    page.page.reload()
    page.ready()
    found: float = page.page.evaluate(paint)
    return found
