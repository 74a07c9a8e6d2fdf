"""A newer price file takes the place of the one in use, whole or not at all."""

from __future__ import annotations

import json
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import ConfigError
from llmctl.pricing.book import FETCHED, PriceBook
from llmctl.pricing.update import MOST_BYTES, install


def entry(usd_in: float, usd_out: float, **more: Any) -> dict[str, Any]:
    prices = {"input_cost_per_token": usd_in / 1e6, "output_cost_per_token": usd_out / 1e6}
    return {"litellm_provider": "openai", "mode": "chat", **prices, **more}


def file(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


OLD = file(
    same=entry(1, 2),
    up=entry(1, 2),
    down=entry(1, 2),
    gone=entry(1, 2),
    cached=entry(1, 2),
    unknown=entry(0, 0),
)
NEW = file(
    same=entry(1, 2), up=entry(1, 3), down=entry(0.5, 2), new=entry(1, 2), unknown=entry(5, 6),
    cached=entry(1, 2, cache_read_input_token_cost=1e-7),
)  # fmt: skip


def test_what_changed_is_told(tmp_path: Path) -> None:
    """Whoever updates prices under a budget wants to know which."""
    install(OLD, tmp_path)
    found = install(NEW, tmp_path)
    assert (found.added, found.removed) == (("openai/new",), ("openai/gone",))
    assert (found.dearer, found.cheaper) == (("openai/up",), ("openai/down",))
    assert found.other == ("openai/cached", "openai/unknown")
    assert found.models == 6
    assert found.before != found.after


def test_the_next_book_reads_the_new_file(tmp_path: Path) -> None:
    """Also beside an index of the old one; the file is its owner's alone."""
    install(OLD, tmp_path)
    before = PriceBook(tmp_path).price("openai/up")
    install(NEW, tmp_path)
    after = PriceBook(tmp_path).price("openai/up")
    assert before is not None
    assert after is not None
    assert (before.base.output, after.base.output) == (Decimal(2000), Decimal(3000))
    assert stat.S_IMODE((tmp_path / FETCHED).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b"{}", file(a={"x": 1}), file(a=entry(0, 0)), b" " * (MOST_BYTES + 1)],
    ids=["empty", "no json", "list", "no models", "no entries", "no prices", "too long"],
)
def test_what_is_no_price_file_changes_nothing(tmp_path: Path, body: bytes) -> None:
    """A login page saved as prices.json would make every price unknown."""
    install(OLD, tmp_path)
    with pytest.raises(ConfigError):
        install(body, tmp_path)
    assert (tmp_path / FETCHED).read_bytes() == OLD
    assert PriceBook(tmp_path).warnings == []
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".update")] == []
