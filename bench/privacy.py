"""How well and how fast the detectors are: `python -m bench.privacy`."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from llmctl.core.model import Request, Response, Send, Target
from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.privacy.detect import Detector
from llmctl.stages.check import check
from llmctl.stages.redact import redact
from tests.privacy.samples import FILE, UNSEEN, load, scores

PROSE = (
    "The delivery was quick, but the box had a dent and the manual was missing. On 3 May 2024 I wrote to the"
    " shop about order 48213; they answered within 2 days and sent a new manual, which was kind. "
)
LOG = "2024-05-01T12:30:45.123Z INFO worker-7 took 37 ms for request 8f14e45fceea167a status=200 bytes=5120\n"
ROW = "Say in one word what colour item {} of the shop's list is."
ANSWER = Response(text="The capital of that country is Paris, as everyone knows well.", model="m")
FOUND = (
    "Please call (415) 555-0132 or write to jane.doe@example.com about card 4111 1111 1111 1111, and wire"
    " the rest to DE89 3704 0044 0532 0130 00 as agreed with the accountant on Tuesday, thank you. "
)


def main() -> None:
    """Prints precision and recall by kind, then CPU time by text."""
    for file in (FILE, UNSEEN):
        _quality(file)
    finder = Detector(PrivacyRule(redact=PRIVACY_KINDS, names=("Anna Müller", "Bob")))
    for name, text in (("prose", PROSE), ("log", LOG), ("much found", FOUND)):
        long = text * (65_536 // len(text))
        print(f"{name:12} {_seconds(finder, long, 5) * 1e3 / (len(long) / 1024):.3f} ms CPU a KB")
    row = PROSE[:150]
    print(f"row of {len(row)} characters, nothing found: {_seconds(finder, row, 5000) * 1e6:.1f} µs")
    took = _pipeline(PrivacyRule(redact=PRIVACY_KINDS, answers="warn"))
    print(f"redact and check around a row of {len(ROW)} characters, nothing found: {took * 1e6:.1f} µs")


def _quality(file: Path) -> None:
    samples = load(file)
    clean = sum(not sample.spans for sample in samples)
    languages = len({sample.lang for sample in samples})
    print(f"{file.name}: {len(samples)} samples, {clean} with nothing to find, {languages} languages")
    print(f"{'kind':8}{'right':>7}{'wrong':>7}{'missed':>8}{'precision':>11}{'recall':>8}")
    for kind, score in scores(samples).items():
        counts = f"{score.right:>7}{score.wrong:>7}{score.missed:>8}"
        print(f"{kind:8}{counts}{score.precision:>11.3f}{score.recall:>8.3f}")


def _pipeline(rule: PrivacyRule) -> float:
    """CPU seconds that redact and check (warn) add to a short row in which there is nothing to find."""

    async def answer(request: Request) -> Response:
        return ANSWER

    target = Target("main", "openai/gpt-4o-mini", "openai")
    requests = [Request(target, ({"role": "user", "content": ROW.format(n)},)) for n in range(1000)]
    around = redact(check(answer, rule), rule)
    return _driven(around, requests) - _driven(answer, requests)


def _driven(send: Send, requests: list[Request]) -> float:
    def once() -> float:
        started = time.process_time()
        for request in requests:
            with suppress(StopIteration):
                send(request).__await__().__next__()
        return (time.process_time() - started) / len(requests)

    return min(once() for _ in range(15))


def _seconds(finder: Detector, text: str, times: int) -> float:
    finder.find(text)
    started = time.process_time()
    for _ in range(times):
        finder.find(text)
    return (time.process_time() - started) / times


if __name__ == "__main__":
    main()
