"""Every template that ships, on the real embedded model, through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from llmctl.prompts.templates import Folders, read
from llmctl.providers.local import stop

TEXT = (
    "The new library in Leeds opened on 3 May 2024. Maria Silva, who leads it for the city council, said"
    " that it cost 4 million pounds. Visitors love the bright rooms, but the café is far too small."
)
PROMPTS = {"chain-of-thought": "A train leaves at 9:00 and arrives at 11:30. How long does it take?"}
NOWHERE = Path("nowhere")
SHIPPED = {name: read(path) for name, path, _ in Folders(NOWHERE, NOWHERE).all()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded")
    yield folder
    stop(folder)


def run(home: Path, *args: str) -> dict[str, Any]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LLMCTL_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    done = subprocess.run(
        [sys.executable, "-m", "llmctl", "run", "-p", "local", "--json", *args], env=environ, cwd=home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_template_works_on_the_embedded_model(home: Path, name: str) -> None:
    """Its grammar makes the answer fit the schema, so even the smallest model gives what is promised."""
    found = run(home, "-t", name, PROMPTS.get(name, TEXT))
    assert found["model"] == "local/smollm2"
    assert found["text"].strip() or found["reasoning"]
    schema = SHIPPED[name].schema
    assert (schema is None) == (found["parsed"] is None)
    if schema is not None:
        assert isinstance(schema, dict)
        validate(found["parsed"], schema)
        assert found["finish_reason"] == "stop"


@pytest.mark.slow
def test_all_fields_of_the_content_analysis(home: Path) -> None:
    """The fields and ranges that other programs build on."""
    parsed = run(home, "-t", "content-analysis", "-V", "analysis_type=style", TEXT)["parsed"]
    scores = ("readability_score", "complexity_score", "overall_quality", "confidence")
    assert set(parsed) == {*scores, "sentiment_score", "key_themes"}
    assert all(0 <= parsed[score] <= 1 for score in scores)
    assert -1 <= parsed["sentiment_score"] <= 1
    assert all(isinstance(theme, str) for theme in parsed["key_themes"])
