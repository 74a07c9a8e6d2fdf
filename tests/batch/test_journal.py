"""The journal: what was written is read, what was cut is cut off, what is not ours is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.batch.journal import NO_KEY, Journal, Record, begins, parse
from llmctl.core.errors import StorageError

KEY = "0123456789abcdef" * 2
PAYLOADS = [b'{"text":"one"}', b'{"text":"\\u2028 two"}', b'{"text":"' + b"x" * 50_000 + b'"}']


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a head and three rows."""
    path = tmp_path / "out.journal"
    journal = Journal(path)
    journal.append("h", 0, NO_KEY, b"{}")
    for row, payload in enumerate(PAYLOADS):
        journal.append("o", row, KEY, payload)
    journal.sync()
    journal.close()
    return path


def walked(path: Path) -> list[Record]:
    records, journal = opened(path)
    journal.close()
    return records


def opened(path: Path) -> tuple[list[Record], Journal]:
    journal = Journal(path)
    return list(journal.records()), journal


def test_what_is_written_is_read(path: Path) -> None:
    """By walking through it, and by offset, whatever a payload's length."""
    records, journal = opened(path)
    assert [(r.kind, r.row, r.key) for r in records] == [("h", 0, NO_KEY)] + [("o", n, KEY) for n in range(3)]
    assert [r.payload for r in records[1:]] == PAYLOADS
    assert [journal.read(r.offset) for r in records] == records
    more = [journal.append("o", number, KEY, b"{}") for number in range(9, 12)]
    assert [journal.read(offset).row for offset in more] == [9, 10, 11]
    assert journal.damaged == 0
    journal.close()


def test_every_torn_tail_is_cut(path: Path) -> None:
    """Wherever a write was cut, the records before it are whole and the next one fits on."""
    whole = path.read_bytes()
    starts = [record.offset for record in walked(path)] + [len(whole)]
    for cut in [*range(0, starts[3], 7), *(start - 1 for start in starts[1:]), *starts]:
        path.write_bytes(whole[:cut])
        records, journal = opened(path)
        assert len(records) == sum(start <= cut for start in starts[1:])
        assert (journal.end, journal.damaged) == (max(start for start in starts if start <= cut), 0)
        journal.append("o", 9, KEY, b"{}")
        journal.close()
        assert [record.row for record in walked(path)][-1] == 9


def test_a_damaged_line_is_left_out(path: Path) -> None:
    """Any flipped bit of a line costs that line alone."""
    whole = path.read_bytes()
    records = walked(path)
    start = records[1].offset
    for place in {*range(start, records[2].offset - 1)} - {start + 8}:  # the space there says nothing
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        found, journal = opened(path)
        assert [record.offset for record in found] == [records[n].offset for n in (0, 2, 3)]
        assert journal.damaged == 1
        journal.close()


def test_damage_is_counted_once(path: Path) -> None:
    """A batch reads its journal again at its end where rows are wanted as they were done."""
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    _, journal = opened(path)
    assert len(list(journal.records())) == 3
    assert journal.damaged == 1
    journal.close()


def test_a_second_opener_is_refused(path: Path) -> None:
    """The lock lasts as long as the journal is open."""
    first = Journal(path)
    with pytest.raises(StorageError, match="another run"):
        Journal(path)
    first.close()
    Journal(path).close()


def test_a_record_that_changed_under_us(path: Path) -> None:
    """A record that was good when it was found and is not any more is told, not trusted."""
    records, journal = opened(path)
    data = bytearray(path.read_bytes())
    data[records[2].offset + 60] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match="damaged at byte"):
        journal.read(records[2].offset)
    journal.close()


def test_a_private_journal_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch to stdout leaves nothing behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    journal = Journal(None)
    offset = journal.append("o", 1, KEY, b"{}")
    assert journal.read(offset).row == 1
    journal.close()
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(line: bytes) -> None:
    """Whatever stands in the file, reading it is a decision, never a crash."""
    record = parse(line, 0)
    assert record is None or line.endswith(b"\n")
    assert begins(line) in (True, False)
