"""Libraries log into our log, whatever they had planned; in another's program that program keeps its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import logging, pathlib, sys
from llmctl.core.hidden import KEYS
from llmctl.providers import foreign
from llmctl.state.log import FileLog

KEY = "made-up-" + "canary" * 3
KEYS.add(KEY)
alone = sys.argv[2] == "alone"
if not alone:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO)
book = FileLog(pathlib.Path(sys.argv[1]), "r", level="debug")
foreign.listen(book, texts=sys.argv[3] == "texts", alone=alone)
if sys.argv[4:] == ["litellm"]:
    from llmctl.providers.litellm.loading import load
    load()
for name in ("LiteLLM", "aiohttp.client", "httpx", "httpcore.connection", "asyncio", *(["mine"] * alone)):
    logger = logging.getLogger(name)
    logger.info("sent %s", f"Bearer {KEY}")
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("failed with a prompt")
"""


def run(folder: Path, *args: str) -> tuple[str, list[dict[str, Any]]]:
    """What reached the terminal, and the log's lines."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = (folder / "llmctl.log").read_text().splitlines()
    assert "canary" not in done.stdout + done.stderr + "".join(lines)
    return done.stdout + done.stderr, [json.loads(line) for line in lines]


@pytest.mark.parametrize("more", [[], ["litellm"]])
def test_in_our_own_process_everything_is_led_into_the_log(tmp_path: Path, more: list[str]) -> None:
    """Nothing reaches the terminal, tracebacks included; words are a hash and a length."""
    shown, lines = run(tmp_path, "alone", "no", *more)
    assert shown == ""
    assert len({line["logger"] for line in lines}) == 6
    assert all(line["event"] == "library" and line["message_chars"] for line in lines)
    failed = [line for line in lines if line["level"] == "error"]
    assert [line["exception"] for line in failed] == ["ValueError"] * 6
    assert "prompt" not in str(lines)


def test_the_profile_may_want_texts(tmp_path: Path) -> None:
    """`privacy.log_texts`: the words are there, the key is not."""
    _, lines = run(tmp_path, "alone", "texts")
    assert {line["message"] for line in lines} == {"sent Bearer ***", "failed with a prompt"}


def test_another_program_keeps_its_logging(tmp_path: Path) -> None:
    """Its handlers hear what they heard before, without keys; only litellm is ours alone."""
    shown, lines = run(tmp_path, "guest", "no")
    assert {line["logger"] for line in lines} == {"LiteLLM"}
    for name in ("aiohttp.client", "httpx", "asyncio"):
        assert f"INFO:{name}:sent Bearer ***" in shown
    assert "LiteLLM" not in shown
