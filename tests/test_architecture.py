"""The house stays a house: who may import whom, and every stage has its place in the list."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import llmctl
from llmctl import pipeline
from llmctl.services import Services

PACKAGE = Path(llmctl.__file__).parent
MAY_IMPORT = {
    "core": set(),
    "config": {"core"},
    "pricing": {"core"},
    "privacy": {"core"},
    "meaning": {"core"},
    "providers": {"core"},
    "state": {"core"},
    "resilience": {"core"},
    "stages": {"core", "privacy", "prompts", "pricing"},
    "prompts": {"core", "config"},
    "formats": {"core", "pricing", "usage"},
    "usage": {"core", "state", "pricing"},
    "notify": {"core"},
    "otel": {"core"},
}
"""Layer -> the layers it may import besides itself; what is not named here may import all below."""
ALLOWED = {
    ("state", "usage"),  # none at present; listed so that an exception has one place to stand
}


def imports_of(path: Path) -> set[str]:
    """The first package below llmctl of everything a file imports, type-only imports left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("llmctl"):
            names = (
                [node.module] if node.module != "llmctl" else [f"llmctl.{alias.name}" for alias in node.names]
            )
            found.update(name.split(".")[1] for name in names if "." in name)
    return found


@pytest.mark.parametrize("layer", sorted(MAY_IMPORT))
def test_a_layer_imports_only_what_lies_below(layer: str) -> None:
    """A wrong arrow is how a house becomes a heap; only services chooses among implementations."""
    wrong = {
        f"{path.relative_to(PACKAGE)} -> {name}"
        for path in (PACKAGE / layer).rglob("*.py")
        for name in imports_of(path) - MAY_IMPORT[layer] - {layer}
    }
    assert not wrong


def test_litellm_has_one_importer() -> None:
    """Its environment must be set before it is imported; two importers would forget that once."""
    importers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (
            isinstance(node, ast.Import)
            and any(alias.name.split(".")[0] == "litellm" for alias in node.names)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "litellm")
    }
    assert importers
    assert all(name.startswith("providers/litellm") for name in importers), importers


def test_the_page_is_known_to_its_command_alone() -> None:
    """Its libraries are an extra: nothing that works without them may come to need it."""
    importers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "web" in imports_of(path) and path.parent.name != "web"
    }
    assert importers == {"cli/dashboard.py"}


def test_every_stage_file_is_listed_in_the_pipeline(tmp_path: Path) -> None:
    """A stage that nobody calls guards nothing."""
    services = Services({}, name="local", home=tmp_path)
    listed = {stage.func.__module__ for stage in pipeline.stages(services)} | {"llmctl.stages.provider"}
    files = {f"llmctl.stages.{path.stem}" for path in (PACKAGE / "stages").glob("*.py")} - {
        "llmctl.stages.__init__"
    }
    assert listed == files


def test_redaction_stands_outermost_and_the_record_outside_the_cache(tmp_path: Path) -> None:
    """Order is meaning: nothing below redact sees a secret, and a hit is recorded."""
    names = [stage.func.__name__ for stage in pipeline.stages(Services({}, name="local", home=tmp_path))]
    above = {"precheck", "cascade", "schema"}  # each asks, or refuses, in the user's own words
    assert set(names[: names.index("redact")]) == above
    assert names.index("record") < names.index("cache") < names.index("retry")
