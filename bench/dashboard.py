"""CPU of the dashboard's answers and the page's first paint over a million calls: python -m bench.dashboard.

The baseline in the same sitting is the address that reads nothing, and a page without anything in it.
Chromium has to be installed for the paints.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import ROOT, record, table
from tests.usage.test_speed import filled
from tests.web.conftest import FLAGS, NAMES
from tests.web.serving import Dashboard, serving

PATHS = (
    "/healthz",
    "/metrics/llm",
    "/metrics/llm?since=2026-10-14",
    "/api/series",
    "/api/calls",
    "/api/state",
    "/metrics",
)
TIMES = 20
LOADS = 9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1_000_000)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        home = filled(Path(folder) / "home", calls)
        environ = {
            "PATH": os.environ["PATH"], "HOME": folder, "LLMCTL_HOME": str(home), "PYTHONPATH": str(ROOT),
            "OPENAI_API_KEY": "sk-" + "test" * 6,
        }  # fmt: skip
        with serving(environ, Path(folder)) as dashboard:
            cpu = {path: _cpu(dashboard, path) for path in PATHS}
            paints = _paints(dashboard)
    table([["answer", "CPU"], *([path, f"{1000 * seconds:.1f} ms"] for path, seconds in cpu.items())])
    sys.stdout.write(f"\nfirst paint, median of {LOADS}: {paints}\n")
    record("dashboard", {"calls": calls, "cpu_s": cpu, "first_paint_ms": paints})


def _cpu(dashboard: Dashboard, path: str) -> float:
    dashboard.get(path)
    before = dashboard.cpu()
    for _ in range(TIMES):
        dashboard.get(path)
    return round((dashboard.cpu() - before) / TIMES, 5)


def _paints(dashboard: Dashboard) -> dict[str, float]:
    """Milliseconds until something stands on the page, and on an empty one; {} without a browser."""
    path = next((known for name in NAMES if (known := shutil.which(name))), None)
    if path is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        found = {
            "page": _paint(browser, f"{dashboard.url}/?window="),
            "empty page": _paint(browser, f"{dashboard.url}/healthz"),
        }
        browser.close()
    return found


def _paint(browser: Any, url: str) -> float:
    taken: list[float] = []
    for _ in range(LOADS):
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_timeout(300)
        taken.append(
            page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        context.close()
    return round(statistics.median(taken), 1)


if __name__ == "__main__":
    main()
