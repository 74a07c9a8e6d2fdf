"""A real browser for the page, and pages that tell what went wrong in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..needs import lacking

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Where there is none its tests are skipped; in CI that is a failure.

    No longer than its module: while it is there its event loop runs in this thread, and others' cannot.
    """
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        lacking("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page and what it complained of; `strangers` are requests that went elsewhere."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._asked)
        self.page.on("request", self._sent)

    def _said(self, said: Any) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def _asked(self, dialog: Any) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def _sent(self, request: Any) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            self.strangers.append(request.url)

    def open(self, url: str) -> Tab:
        self.page.goto(url)
        self.ready()
        return self

    def ready(self, after: int = 0) -> None:
        """Waits until the figures that were asked for last are shown."""
        self.page.wait_for_function(
            "after => Number(document.body.dataset.ready) > after && !document.body.ariaBusy", arg=after
        )

    def change(self, act: Any) -> None:
        before = int(self.page.evaluate("document.body.dataset.ready"))
        act()
        self.ready(before)

    def text(self, selector: str) -> str:
        found: str = self.page.inner_text(selector)
        return found

    def overflow(self) -> float:
        """By how many pixels the page is wider than its window."""
        found: float = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return found


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """Makes tabs; at the end none of them may have complained, or asked another server."""
    tabs: list[Tab] = []
    contexts = []

    def make(width: int = 1360, scheme: str = "light", **more: Any) -> Tab:
        context = chromium.new_context(
            viewport={"width": width, "height": 860}, color_scheme=scheme, timezone_id="Europe/Madrid", **more
        )
        contexts.append(context)
        made = Tab(context.new_page())
        tabs.append(made)
        made.listen()
        return made

    yield make
    for context in contexts:
        context.close()
    assert [(made.complaints, made.strangers) for made in tabs] == [([], [])] * len(tabs)
