"""llmctl.batch.tables: CSV, TSV and Parquet as rows."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.batch.lines import MAX_LINE, Line, LongLine, RawRow, split
from llmctl.batch.source import Source
from llmctl.batch.tables import csv_rows
from llmctl.core.errors import ConfigError, MissingExtra


def table(text: str, delimiter: str = ",") -> list[RawRow]:
    return list(csv_rows(split([text.encode()]), "f.csv", delimiter))


def records(rows: list[RawRow]) -> list[Any]:
    return [orjson.loads(row.data) for row in rows]


def test_a_record_is_an_object_under_the_columns_names() -> None:
    """Fields are variables, or a row's own."""
    rows = table('id,prompt\r\na,"Say ""hi"", please"\r\n\r\nb,\u2028 two \r\n')
    assert records(rows) == [{"id": "a", "prompt": 'Say "hi", please'}, {"id": "b", "prompt": "\u2028 two "}]
    assert [(row.number, row.line) for row in rows] == [(0, 2), (1, 4)]


def test_quoted_cells_span_lines_and_keep_them() -> None:
    """A prompt of several lines is one row, at the line where it begins."""
    rows = table('prompt,id\n"one\n\ntwo\r\n",a\nx,b\n')
    assert records(rows) == [{"prompt": "one\n\ntwo\r\n", "id": "a"}, {"prompt": "x", "id": "b"}]
    assert [row.line for row in rows] == [2, 6]


def test_tabs_separate_tsv(tmp_path: Path) -> None:
    """Commas are part of the cell there."""
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\xef\xbb\xbfid\tprompt\n1\ta, b\n")
    assert records(list(Source(str(path)).raw_rows())) == [{"id": "1", "prompt": "a, b"}]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=1, max_size=5))
def test_what_the_csv_module_writes_is_read_back(texts: list[str]) -> None:
    """Any prompt survives, whatever stands in it."""

    class Sink(list[str]):
        def write(self, text: str) -> None:
            self.append(text)

    sink = Sink()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerows([["id", "prompt"], *([str(number), text] for number, text in enumerate(texts))])
    expected = [{"id": str(number), "prompt": text} for number, text in enumerate(texts)]
    assert records(table("".join(sink))) == expected


def test_a_cell_may_be_longer_than_the_csv_modules_own_limit() -> None:
    """That is 131,072 characters; prompts with documents in them are longer."""
    assert len(records(table("prompt\n" + "x" * 200_000))[0]["prompt"]) == 200_000


def test_params_and_messages_may_be_json_in_a_cell() -> None:
    """A table has no other way to say them; what is broken is left for the row's own error."""
    rows = table('params,messages\n"{""temperature"": 0}","[{""role"": ""user""}]"\n{broken,text\n,\n')
    assert records(rows) == [
        {"params": {"temperature": 0}, "messages": [{"role": "user"}]},
        {"params": "{broken", "messages": "text"},
        {"params": "", "messages": ""},
    ]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("a,b,c", "3 cells under a header of 2"),
        ("a", "1 cells under a header of 2"),
        ('"a"b,c', "not a record"),
    ],
)
def test_a_bad_record_is_one_failed_row(record: str, said: str) -> None:
    """The rest of the file goes on."""
    first, bad, last = table(f"id,prompt\n1,x\n{record}\n2,y\n")
    assert bad.error is not None and said in str(bad.error) and str(bad.error).startswith("line 3: ")
    assert (bad.number, bad.line, last.number, last.line) == (1, 3, 2, 4)
    assert records([first, last]) == [{"id": "1", "prompt": "x"}, {"id": "2", "prompt": "y"}]


def test_a_torn_last_record_is_one_failed_row() -> None:
    """A file still being written ends like this."""
    rows = table('id,prompt\n1,x\n2,"hel')
    assert len(rows) == 2 and rows[1].error is not None and "cut off" in str(rows[1].error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,prompt, id\n", "f.csv:1: the column 'id' stands twice"),
        ("\nid,,prompt\n", "f.csv:2: column 2 has no name"),
        ('"id', "f.csv:1: the header"),
        ('id,prompt\n1,"open\n2,y\n3,z\n', "f.csv:2: a quote is opened and never closed"),
        ('id,prompt\n1,"' + ("open " * 200 + "\n") * 17_000, "f.csv:2: a quote is opened and never closed"),
    ],
)
def test_what_spoils_the_whole_table_is_refused(text: str, said: str) -> None:
    """Rows read past such a fault would be other prompts than the author's."""
    with pytest.raises(ConfigError, match=said) as caught:
        table(text)
    assert caught.value.exit_code == 3


def test_a_long_line_is_skipped_only_where_it_is_a_record_of_its_own() -> None:
    """Behind a quote that it leaves open, no one can tell text from records."""
    good: list[Line] = [b"prompt", LongLine(2**25, 2), b"x"]
    found = [(row.number, row.line, row.too_long) for row in csv_rows([good], "f", ",")]
    assert found == [(0, 2, 2**25), (1, 3, 0)]
    odd: list[Line] = [b"prompt", LongLine(2**25, 1), b"x"]
    inside: list[Line] = [b"prompt", b'"', LongLine(2**25, 2)]
    alone: list[Line] = [LongLine(2**25, 0)]
    for bad in (odd, inside, alone):
        with pytest.raises(ConfigError, match=r"f:\d"):
            list(csv_rows([bad], "f", ","))


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path, **options)
    return str(path)


def test_parquet_records_are_rows(tmp_path: Path) -> None:
    """Over several row groups, nulls and lists of structs included."""
    messages = [{"role": "user", "content": "hi"}]
    path = parquet(
        tmp_path / "a.parquet",
        {
            "id": [1, 2, None],
            "prompt": ["one", None, "three"],
            "messages": [None, messages, None],
            "params": [{"temperature": 0.5, "seed": None}, None, {"temperature": None, "seed": 7}],
        },
        row_group_size=2,
    )
    rows = list(Source(path).raw_rows())
    assert [(row.number, row.line) for row in rows] == [(0, 1), (1, 2), (2, 3)]
    assert records(rows) == [
        {"id": 1, "prompt": "one", "messages": None, "params": {"temperature": 0.5}},
        {"id": 2, "prompt": None, "messages": messages, "params": None},
        {"id": None, "prompt": "three", "messages": None, "params": {"seed": 7}},
    ]


def test_parquets_own_types_become_texts(tmp_path: Path) -> None:
    """A template prints them; JSON has no dates and no decimals."""
    path = parquet(
        tmp_path / "a.parquet",
        {
            "day": [datetime.date(2026, 11, 22)],
            "at": [datetime.datetime(2026, 11, 22, 12, 30)],
            "price": [decimal.Decimal("1.50")],
            "raw": ["é".encode()],
            "params": ['{"seed": 1}'],
        },
    )
    assert records(list(Source(path).raw_rows())) == [
        {"day": "2026-11-22", "at": "2026-11-22T12:30:00", "price": "1.50", "raw": "é", "params": {"seed": 1}}
    ]


def test_cells_that_json_cannot_hold_fail_their_row_alone(tmp_path: Path) -> None:
    """orjson would write NaN as null without a word."""
    path = parquet(tmp_path / "a.parquet", {"x": [1.0, float("nan"), 2.0], "y": [b"a", b"b", b"\xff"]})
    rows = list(Source(path).raw_rows())
    assert [str(row.error) for row in rows] == [
        "None",
        "line 2: 'x' is nan, which JSON cannot hold",
        "line 3: 'y' holds bytes that are no text",
    ]


def test_parquet_may_be_packed_and_comes_through_stdin(tmp_path: Path) -> None:
    """It needs a file to seek in, which neither is."""
    path = Path(parquet(tmp_path / "a.parquet", {"prompt": ["one"]}))
    packed = tmp_path / "b.parquet.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with path.open("rb") as stream:
        stdin = list(Source(None, stream, kind="parquet").raw_rows())
    assert records(list(Source(str(packed)).raw_rows())) == records(stdin) == [{"prompt": "one"}]


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    """Cut, or another file under that name."""
    pytest.importorskip("pyarrow")
    path = Path(parquet(tmp_path / "a.parquet", {"prompt": ["x" * 50] * 1000}))
    for data in (path.read_bytes()[:-20], b"PAR1 not really PAR1", b""):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match="not readable as Parquet"):
            list(Source(str(path)).raw_rows())


def test_a_parquet_record_over_the_limit_is_one_failed_row(tmp_path: Path) -> None:
    """As a line of that length would be."""
    path = parquet(tmp_path / "a.parquet", {"prompt": ["x", "y" * (MAX_LINE + 1)]})
    assert [row.too_long > MAX_LINE for row in Source(path).raw_rows()] == [False, True]


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user learns what to install, not which import failed."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(MissingExtra, match="'parquet'"):
        list(Source(str(path)).raw_rows())
