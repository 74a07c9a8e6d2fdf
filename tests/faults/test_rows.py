"""That no row of the list of faults is without a test: rows 1 to 53 are about providers."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_row_from_1_to_53_has_a_test_with_its_number() -> None:
    """Whoever takes a test away should be told which promise it held."""
    files = Path(__file__).parent.glob("test_*.py")
    named = re.findall(r"(?:test_|\")fault_(\d\d)(?:_and_(\d\d))?", "".join(map(Path.read_text, files)))
    assert {int(number) for pair in named for number in pair if number} >= set(range(1, 54))
