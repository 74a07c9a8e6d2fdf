"""Looking before sending."""

from llmctl.core.profile import PrivacyRule
from llmctl.privacy.scan import SHOWN, scan


def test_counts_and_lines() -> None:
    """A reader must find the line again; blank and clean lines count as read."""
    lines = ["nothing", "", "bob@example.com and eve@example.com", "4111 1111 1111 1111"]
    report = scan(enumerate(lines, 1), PrivacyRule(redact=("email", "card")))
    assert report.counts == {"email": 2, "card": 1}
    assert (report.rows, report.hits) == (4, 2)
    assert [(finding.line, len(finding.spans)) for finding in report.found] == [(3, 2), (4, 1)]


def test_the_report_is_bounded() -> None:
    """A file with a finding in every line must not be held in memory."""
    report = scan(((n, "bob@example.com") for n in range(SHOWN + 5)), PrivacyRule(redact=("email",)))
    assert report.hits == SHOWN + 5 and len(report.found) == SHOWN
