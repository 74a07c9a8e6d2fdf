"""How well and how fast the detectors are: `python -m bench.privacy`."""

from __future__ import annotations

import time

from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.privacy.detect import Detector
from tests.privacy.samples import load, scores

PROSE = (
    "The delivery was quick, but the box had a dent and the manual was missing. On 3 May 2024 I wrote to the"
    " shop about order 48213; they answered within 2 days and sent a new manual, which was kind. "
)
LOG = "2024-05-01T12:30:45.123Z INFO worker-7 took 37 ms for request 8f14e45fceea167a status=200 bytes=5120\n"
FOUND = (
    "Please call (415) 555-0132 or write to jane.doe@example.com about card 4111 1111 1111 1111, and wire"
    " the rest to DE89 3704 0044 0532 0130 00 as agreed with the accountant on Tuesday, thank you. "
)


def main() -> None:
    """Prints precision and recall by kind, then CPU time by text."""
    samples = load()
    print(f"{len(samples)} samples, {len({sample.lang for sample in samples})} languages")
    print(f"{'kind':8}{'right':>7}{'wrong':>7}{'missed':>8}{'precision':>11}{'recall':>8}")
    for kind, score in scores(samples).items():
        figures = (
            f"{score.right:>7}{score.wrong:>7}{score.missed:>8}{score.precision:>11.3f}{score.recall:>8.3f}"
        )
        print(f"{kind:8}{figures}")
    finder = Detector(PrivacyRule(redact=PRIVACY_KINDS, names=("Anna Müller", "Bob")))
    for name, text in (("prose", PROSE), ("log", LOG), ("much found", FOUND)):
        long = text * (65_536 // len(text))
        print(f"{name:12} {_seconds(finder, long, 5) * 1e3 / (len(long) / 1024):.3f} ms CPU a KB")
    row = PROSE[:150]
    print(f"row of {len(row)} characters, nothing found: {_seconds(finder, row, 5000) * 1e6:.1f} µs")


def _seconds(finder: Detector, text: str, times: int) -> float:
    finder.find(text)
    started = time.process_time()
    for _ in range(times):
        finder.find(text)
    return (time.process_time() - started) / times


if __name__ == "__main__":
    main()
