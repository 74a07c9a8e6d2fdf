"""The page in a real browser: what it shows, that it stays fresh, and that data stays text."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..batch.harness import questions, requests, start, until, write
from ..conftest import Run
from ..server.client import TestServer
from ..usage.kit import Kit
from .conftest import Tab
from .made import made
from .serving import Dashboard, minimal, serving

Tabs = Callable[..., Tab]
CALLS = 4000
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "[/x]\"'><b>&amp;",
    "\u202egnp.exe\u2066",
    "عربى 👩‍👩‍👧 日本語",
    "a" * 300,
]
PROFILE = """
extends: dev
budgets: [{limit: 100, per: day}, {limit: 5, per: hour, tag: "<i>ci"}]
alerts: [{metric: error_rate, over: 0.000001, window: 30d, name: "<b>bold</b> [/x]"}]
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("page") / "home"
    home.mkdir()
    return made(home / "ledger.db", CALLS, 20)


@pytest.fixture
def filled(home: Path, ledger: Path) -> Path:
    home.mkdir()
    (home / "ledger.db").write_bytes(ledger.read_bytes())
    return home / "ledger.db"


@pytest.fixture(scope="module")
def served(ledger: Path) -> Iterator[Dashboard]:
    """Over calls that stay as they are, for all who only look."""
    with serving(minimal(ledger.parents[1]), ledger.parent) as dashboard:
        yield dashboard


@pytest.fixture
def growing(filled: Path, environ: dict[str, str], work: Path) -> Iterator[Dashboard]:
    with serving(environ, work) as dashboard:
        yield dashboard


def count(ledger: Path, where: str = "TRUE") -> int:
    found: int = sqlite3.connect(ledger).execute(f"SELECT count(*) FROM calls WHERE {where}").fetchone()[0]
    return found


def test_figures_and_filters(served: Dashboard, ledger: Path, tab: Tabs) -> None:
    """What the page says is what the ledger holds, for the filters that the page shows, also reloaded."""
    page = tab().open(f"{served.url}/?window=")
    assert page.text("#requests") == f"{CALLS:,}"
    assert page.text("#key-requests").count("failed") == 1
    assert page.page.locator(".chart canvas").count() == 3
    models = page.page.locator("#models tbody tr").count()
    assert models == 5
    page.change(lambda: page.page.select_option("#by-model", label="openai/gpt-4.1"))
    of_model = count(ledger, "model = 'openai/gpt-4.1'")
    assert page.text("#requests") == f"{of_model:,}"
    page.change(lambda: page.page.select_option("#by-tag", label="no tag"))
    untagged = count(ledger, "model = 'openai/gpt-4.1' AND tag IS NULL")
    assert page.text("#requests") == f"{untagged:,}"
    page.change(lambda: page.page.select_option("#by-profile", label="dev"))
    page.page.reload()
    page.ready()
    of_profile = count(ledger, "model = 'openai/gpt-4.1' AND tag IS NULL AND profile = 'dev'")
    assert page.text("#requests") == f"{of_profile:,}"
    page.change(lambda: page.page.click("text=7 d"))
    assert 0 < int(page.text("#requests").replace(",", "")) < of_profile
    assert "window=7d" in page.page.url


def test_the_page_grows_with_the_ledger(growing: Dashboard, tab: Tabs, llmctl: Run) -> None:
    """A page left open shows the call that was made a moment ago, without being reloaded."""
    page = tab().open(f"{growing.url}/?window=")
    page.page.wait_for_selector("#live[data-state=on]")
    assert llmctl("run", "-m", "openai/gpt-4o", "hello").returncode == 0
    page.page.wait_for_function("() => document.getElementById('requests').textContent === '4,001'")
    page.page.wait_for_selector("#models >> text=openai/gpt-4o >> nth=0")
    assert page.page.locator("#by-model option", has_text="openai/gpt-4o").count() >= 1


def test_a_batch_is_watched_to_its_end(
    growing: Dashboard, tab: Tabs, server: TestServer, environ: dict[str, str], work: Path
) -> None:
    """Somebody else's batch, its bar growing, and how it ended."""
    server.script(latency=0.5)
    write(work / "in.jsonl", questions(40))
    page = tab().open(growing.url)
    assert "No batch is running" in page.text("#batches")
    started = start(environ, work, "in.jsonl", "-o", "out.jsonl", "--concurrency", "4")
    until(lambda: requests(server) > 0)
    row = page.page.locator("#batches .row[data-state=running]")
    row.wait_for()
    assert "in.jsonl" in row.inner_text()
    seen = set()

    def grown() -> bool:
        text = page.page.locator("#batches .note").first.inner_text()
        seen.add(text.partition(" of ")[0])
        page.page.wait_for_timeout(100)
        return len(seen) >= 2

    until(grown)
    assert started.end()[0] == 0
    page.page.wait_for_selector("#batches .row[data-state=ended]")
    assert "40 of 40 rows" in page.text("#batches")
    assert "done" in page.text("#batches")


@pytest.fixture
def hostile(home: Path, environ: dict[str, str], work: Path) -> Iterator[Dashboard]:
    """Names that somebody chose in order to harm, wherever a name may stand."""
    kit = Kit(home / "ledger.db")
    import time

    for number, name in enumerate(HOSTILE):
        more: dict[str, Any] = {"model": f"x/{name}", "tag": name, "profile": name}
        kit.call(time.time() - 60 * number - 5, cost=10 + number, **more)
        kit.failed(time.time() - 60 * number - 4, latency=0.1, **more)
    kit.done()
    (work / "profiles").mkdir()
    (work / "profiles" / "hostile.yaml").write_text(PROFILE)
    with serving(environ, work, "-p", "hostile") as dashboard:
        yield dashboard


def test_hostile_names_are_text(hostile: Dashboard, tab: Tabs, llmctl: Run) -> None:
    """Model names and tags come from files of others: in page and tables they are words, nothing else."""
    page = tab().open(hostile.url)
    page.page.wait_for_selector("#alerts .row")
    for name in HOSTILE:
        for place in ("#models", "#tags", "#profiles", "#slowest", "#dearest", "#by-model", "#by-tag"):
            texts = page.page.eval_on_selector_all(
                f"{place} bdi, {place} option", "all => all.map(e => e.textContent)"
            )
            assert name in [text.removeprefix("x/") for text in texts], (place, name)
    assert page.text("#alerts bdi >> nth=0") == "<b>bold</b> [/x]"
    assert "<i>ci" in page.text("#budgets")
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("main script, main b b, main i b").count() == 0
    assert page.overflow() <= 0
    for by in ("tag", "model"):
        shown = llmctl("usage", "--by", by, "--format", "table").stdout
        assert all(name in shown for name in (*HOSTILE[:3], HOSTILE[5]))
        assert not set(shown) & set("\u202e\u2066\x1b")  # what turns the line around is written out
        assert "<" not in llmctl("usage", "--by", by, "--format", "markdown").stdout


@pytest.mark.parametrize(
    ("width", "scheme"), [(1360, "light"), (1360, "dark"), (390, "light"), (390, "dark")]
)
def test_it_can_be_used_by_everybody(served: Dashboard, tab: Tabs, width: int, scheme: str) -> None:
    """On a phone and a desk, by day and by night: nothing wider than the window, nothing that axe minds."""
    from axe_playwright_python.sync_playwright import Axe

    page = tab(width, scheme, bypass_csp=True).open(f"{served.url}/?window=")  # axe is put into the page
    page.page.wait_for_selector("#keys .row, #keys .empty")
    found = Axe().run(page.page).response["violations"]
    assert [
        (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
    ] == []
    assert page.overflow() <= 0
    ground = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")


def test_the_theme_can_be_chosen(served: Dashboard, tab: Tabs) -> None:
    """The system's, light or dark; the choice outlives the visit."""
    page = tab(scheme="light").open(served.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.page.evaluate(ground)
    page.page.click("#theme")
    assert page.page.evaluate(ground) == light
    page.page.click("#theme")
    dark = page.page.evaluate(ground)
    assert dark != light
    page.page.reload()
    page.ready()
    assert page.page.evaluate(ground) == dark
    page.page.click("#theme")
    assert page.page.evaluate(ground) == light


def test_the_page_for_programs(served: Dashboard, tab: Tabs) -> None:
    """Every address with what it takes and gives, without a library from elsewhere."""
    page = tab()
    page.page.goto(f"{served.url}/docs")
    page.page.wait_for_selector("text=GET /metrics/llm")
    assert page.page.locator("section.card").count() == len(served.get("/openapi.json").json()["paths"])
    assert page.overflow() <= 0


def test_what_cannot_be_read_is_told(environ: dict[str, str], work: Path, home: Path, tab: Tabs) -> None:
    """A damaged ledger must not look like a quiet night; nor must a server that has gone."""
    home.mkdir()
    (home / "ledger.db").write_text("not a ledger " * 100)
    with serving(environ, work) as dashboard:
        page = tab()
        page.page.goto(dashboard.url)
        page.page.wait_for_selector("#banner:not([hidden])")
        assert "damaged" in page.text("#banner")
        page.page.wait_for_selector("#live[data-state=on]")
    page.page.wait_for_selector("#live[data-state=off]")
    # A browser itself says of each of these answers that it was none.
    assert all("Failed to load resource" in said or "ERR_" in said for said in page.complaints)
    page.complaints.clear()


def test_before_the_first_call(environ: dict[str, str], work: Path, tab: Tabs) -> None:
    """Empty places say what would stand there."""
    with serving(environ, work) as dashboard:
        page = tab().open(dashboard.url)
        assert "No calls yet" in page.text("#banner")
        page.page.wait_for_selector("#budgets .empty")
        for place in ("#budgets", "#alerts", "#batches", "#models", "#slowest", "#errors", "#breakers"):
            assert page.text(place).strip(), place


def test_a_browser_gives_the_token(environ: dict[str, str], work: Path, tab: Tabs) -> None:
    """Asked as a password, which the browser then sends with everything, events included."""
    token = "made-up-" * 3
    with serving({**environ, "DASH": token}, work, "--token-ref", "env:DASH") as dashboard:
        page = tab(http_credentials={"username": "me", "password": token}).open(dashboard.url)
        page.page.wait_for_selector("#live[data-state=on]")
        page.complaints.clear()  # the first answer was a 401, which Chromium writes down
