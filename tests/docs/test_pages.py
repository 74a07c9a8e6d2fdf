"""The documentation against the code: nothing promised that is not there, nothing there that is not told."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmctl.cli.app import COMMANDS, group

from .blocks import FENCE, PAGES, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
PROMISE = re.compile(r"^- .+ \[test\]\((\S+)#(test_\w+)\)$")
RUN = 'pip install uv && uv run --extra local llmctl run "Say hello"'
TEST = "pip install uv && uv run --all-extras pytest"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A command and all below it, with their full names."""
    yield path, command
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    for name in names:
        yield from commands(command.get_command(None, name), f"{path} {name}")


def test_generated_parts_are_fresh() -> None:
    """A table of options or keys that lags behind the code misleads more than none."""
    command = [sys.executable, "docs/build.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_stale_parts_are_found(tmp_path: Path) -> None:
    """A check that never fails checks nothing."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("build", ROOT / "docs/build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    assert build.filled(page, "table", "new") == "before\n<!-- table -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit):
        build.filled(page, "other", "new")


def test_every_command_and_option_is_in_the_reference() -> None:
    """Whoever searches the page for an option of --help finds it, under its command."""
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    everywhere = page.partition("## Options of every command")[2].partition("\n## ")[0]
    for path, command in commands(group(), "llmctl"):
        heading = re.search(rf"^#+ `{path}`$(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
        assert heading or path == "llmctl", path
        told = everywhere + (heading[1] if heading else "")
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                for name in (*parameter.opts, *parameter.secondary_opts):
                    assert f"`{name}`" in told, f"{path} {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A dead link is found here, not by a reader. Addresses outside are not asked."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_named_are_there(page: Path) -> None:
    """`llmctl budjet` in a text is a lie as much as a wrong example."""
    for name in re.findall(r"`llmctl ([a-z]+)", page.read_text(encoding="utf-8")):
        assert name in COMMANDS, name


def test_every_page_is_in_the_index() -> None:
    """A page that nobody finds is not documentation."""
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(LINK.findall(index))


def test_every_promise_has_its_test() -> None:
    """A promise without a test is a wish."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    promises = text.partition("## What it promises")[2].partition("\n## ")[0]
    bullets = [line for line in promises.splitlines() if line.startswith("- ")]
    assert len(bullets) > 5
    for bullet in bullets:
        found = PROMISE.match(bullet)
        assert found, bullet
        code = (ROOT / found[1]).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {found[2]}\(", code, re.MULTILINE), bullet


def test_ci_runs_the_command_that_the_readme_names() -> None:
    """What a reader types and what CI runs must not drift apart."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert f"$ {RUN}" in readme
    assert f"$ {TEST}" in readme
    ci = ROOT / ".ci/run"
    assert f"tests='{TEST}'" in ci.read_text(encoding="utf-8").splitlines()
    assert ci.stat().st_mode & 0o111


def test_the_picture_shows_what_llmctl_says() -> None:
    """Figures differ from run to run; the words of the picture must be today's."""
    from docs import picture

    drawn = re.findall(r"<text [^>]*>(.*?)</text>", picture.PICTURE.read_text(encoding="utf-8"))
    now = re.findall(r"<text [^>]*>(.*?)</text>", picture.svg(picture.session()))
    assert [words(line) for line in drawn] == [words(line) for line in now]


def words(line: str) -> list[str]:
    """A line without its figures, which also move the columns of a table."""
    return re.sub(r"[\d.,]+", "0", line).split()
