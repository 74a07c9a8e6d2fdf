"""Draws the pictures of README.md and docs/dashboard.md out of made-up calls; Chromium has to be installed.

python -m docs.screenshot
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from docs.picture import ROOT, svg
from llmctl.batch.running import Running
from llmctl.batch.tally import Tally
from llmctl.core.money import NANO
from llmctl.services import Services
from llmctl.usage.budgets import Budget
from tests.web.conftest import FLAGS, NAMES
from tests.web.made import made
from tests.web.serving import serving

IMAGES = ROOT / "docs" / "img"
KEYS = ("OPENAI_API_KEY", "OPENAI_API_KEY_2", "ANTHROPIC_API_KEY")
CALLS, DAYS = 90_000, 30
PROFILE = """
extends: base
models:
  main: {model: openai/gpt-4o-mini, keys: [env:OPENAI_API_KEY, env:OPENAI_API_KEY_2]}
  smart: {model: anthropic/claude-sonnet-4-5}
budgets: [{limit: 20, per: day, tz: UTC}, {limit: 2, per: hour, tag: ci}, {limit: 400, per: month}]
alerts:
  - {metric: error_rate, over: 0.1, window: 1h}
  - {metric: p95_latency, over: 5}
  - {metric: cost_per_hour, over: 100}
limits: {rpm: 500}
"""
SPENT = (16.42, 0.31, 171.9)
COMMANDS = ["llmctl usage --since 7d --by model", "llmctl budget"]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {
            "PATH": os.environ["PATH"], "HOME": name, "LLMCTL_HOME": str(folder / "home"),
            "PYTHONPATH": str(ROOT), "LLMCTL_PROFILE": "night", "COLUMNS": "150",
            **dict.fromkeys(KEYS, "sk-" + "test" * 6),
        }  # fmt: skip
        (folder / "profiles").mkdir()
        (folder / "profiles" / "night.yaml").write_text(PROFILE, encoding="utf-8")
        (folder / "home").mkdir()
        made(folder / "home" / "ledger.db", CALLS, DAYS)
        running = stands(folder, environ)
        with serving(environ, folder) as dashboard:
            photograph(f"{dashboard.url}/?window=7d", running)
        lines: list[tuple[str, str]] = []
        for command in COMMANDS:
            lines += [
                ("command", f"$ {command}"),
                *(("output", line) for line in said(command, environ, folder)),
            ]
            lines.append(("output", ""))
        (IMAGES / "tables.svg").write_text(svg(lines[:-1]), encoding="utf-8")


def stands(folder: Path, environ: dict[str, str]) -> Running:
    """Money that is spent, a batch that has ended and one on its way, which is given."""
    opened = Services(environ, home=folder / "home", cwd=folder)
    for rule, usd in zip(opened.profile.budgets, SPENT, strict=True):
        account = Budget(rule).account(time.time())
        opened.state.settle(int(opened.state.hold([account], 0, 60.0)), round(usd * NANO))  # type: ignore[arg-type]  # there is room
    told = {"profile": "night", "model": None, "out": None}
    ended = Tally()
    ended.rows = ended.ok = 1800
    ended.cost, ended.started = round(0.31 * NANO), ended.started - 41
    before = Running(folder / "home", "run-1", ended, {**told, "input": "questions.csv"})
    before.tick()
    before.end(0)
    tally = Tally()
    tally.rows, tally.ok, tally.failed = 24_000, 15_318, 42
    tally.cost, tally.started = round(3.41 * NANO), tally.started - 121
    running = Running(folder / "home", "run-2", tally, {**told, "input": "reviews-2026-11.jsonl"})
    running.tick()
    opened.state.close()
    return running


def photograph(url: str, running: Running) -> None:
    from playwright.sync_api import sync_playwright

    path = next(found for name in NAMES if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for scheme in ("light", "dark"):
            page = browser.new_context(
                viewport={"width": 1280, "height": 1150},
                color_scheme=scheme,
            ).new_page()
            running.tick()
            page.goto(url)
            page.wait_for_selector("body[data-ready]")
            page.wait_for_selector("#batches .row")
            page.wait_for_timeout(1000)
            page.screenshot(path=IMAGES / f"dashboard-{scheme}.png")
        browser.close()


def said(command: str, environ: dict[str, str], folder: Path) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", f'llmctl() {{ "{sys.executable}" -m llmctl "$@"; }}; {command}'],
        cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    return done.stdout.splitlines()


if __name__ == "__main__":
    main()
