"""llmctl.batch.source: real files of every kind, whole, cut, packed and broken."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import tempfile
import threading
import tracemalloc
from hashlib import blake2b
from pathlib import Path

import pytest

from llmctl.batch.lines import MAX_LINE
from llmctl.batch.source import Kind, Source
from llmctl.core.errors import ConfigError, MissingExtra

JSONL = b'{"prompt": "one"}\n\n{"prompt": "two"}\n'
ROWS = [(0, 1, b'{"prompt": "one"}'), (1, 3, b'{"prompt": "two"}')]


def put(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def rows(source: Source) -> list[tuple[int, int, bytes]]:
    return [(row.number, row.line, row.data) for row in source.raw_rows()]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.jsonl", b"hello", "jsonl"),
        ("a.NDJSON", b"hello", "jsonl"),
        ("a.json", b"{}", "jsonl"),
        ("a.csv", b"{}", "csv"),
        ("a.tsv", b"{}", "tsv"),
        ("a.txt", b"{}", "text"),
        ("a.txt.gz", gzip.compress(b"{}", mtime=0), "text"),
        ("a.parquet", b"", "parquet"),
        ("a", b'\xef\xbb\xbf\n \r\n{"prompt"', "jsonl"),
        ("a", gzip.compress(b'\n{"prompt"', mtime=0), "jsonl"),
        ("a.v2", b"  Say hello {name}", "text"),
        ("a", b"", "text"),
        ("a", b"PAR1\x15", "parquet"),
    ],
)
def test_the_name_says_the_kind_and_else_the_first_byte(
    tmp_path: Path, name: str, data: bytes, kind: Kind
) -> None:
    """Nobody should have to say what the file says already."""
    assert Source(put(tmp_path / name, data)).kind == kind


def test_rows_can_be_read_again_and_side_by_side(tmp_path: Path) -> None:
    """The plan, the ids and the run each read the file."""
    source = Source(put(tmp_path / "a.jsonl", JSONL))
    assert rows(source) == rows(source) == ROWS
    assert [(a.number, b.number) for a, b in zip(source.raw_rows(), source.raw_rows(), strict=True)] == [
        (0, 0),
        (1, 1),
    ]


def test_bom_crlf_and_blank_lines_are_accepted(tmp_path: Path) -> None:
    """That is how files come from other systems."""
    data = b"\xef\xbb\xbf" + JSONL.replace(b"\n", b"\r\n").rstrip()
    assert rows(Source(put(tmp_path / "a.jsonl", data))) == ROWS


def test_text_lines_are_kept_to_the_byte(tmp_path: Path) -> None:
    """NUL, U+0085 and U+2028 are part of a prompt, not ends of lines."""
    line = "  a\0b\u0085c\u2028d\x0b\x1ce  ".encode()
    found = list(Source(put(tmp_path / "a.txt", line + b"\nnext")).raw_rows())
    assert [row.data for row in found] == [line, b"next"]
    assert all(row.text for row in found)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    """Zero rows are a result, not an error."""
    for name in ("a.jsonl", "a.csv", "a.txt", "a"):
        assert rows(Source(put(tmp_path / name, b""))) == []


def test_gzip_is_read_as_it_is_several_members_too(tmp_path: Path) -> None:
    """`cat a.gz b.gz` is a sound file."""
    data = gzip.compress(JSONL[:20]) + gzip.compress(JSONL[20:])
    assert rows(Source(put(tmp_path / "a.jsonl.gz", data))) == ROWS


def test_zstandard_is_read_as_it_is_several_frames_too(tmp_path: Path) -> None:
    """As with gzip; a cut frame must not pass for the end, as it does in the library's own reader."""
    zstandard = pytest.importorskip("zstandard")
    pack = zstandard.ZstdCompressor().compress
    assert rows(Source(put(tmp_path / "a.jsonl.zst", pack(JSONL[:20]) + pack(JSONL[20:])))) == ROWS
    many = pack(b"".join(b'{"prompt": "%d"}\n' % number for number in range(100_000)))
    assert len(rows(Source(put(tmp_path / "b.jsonl.zst", many)))) == 100_000
    with pytest.raises(ConfigError, match=r"c.jsonl.zst:\d+: the Zstandard data is cut off"):
        rows(Source(put(tmp_path / "c.jsonl.zst", many[:-100])))
    with pytest.raises(ConfigError, match=r"d\.jsonl\.zst:1: not Zstandard"):
        rows(Source(put(tmp_path / "d.jsonl.zst", JSONL)))


def test_zstandard_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user learns what to install, not which import failed."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match="'zstd'"):
        rows(Source(put(tmp_path / "a.jsonl.zst", b"")))


def test_a_cut_gzip_file_is_refused_with_the_line(tmp_path: Path) -> None:
    """Half a download must not pass for the whole."""
    data = gzip.compress(os.urandom(30_000).hex().encode() + b"\n" + JSONL)
    for broken, said in [
        (data[:-9], r"a.gz:\d: the gzip data is cut off"),
        (data[:2000], r"a.gz:1: the gzip data is cut off"),
        (data[:5000] + b"\0" * 5000 + data[10_000:], r"a.gz:\d: "),
        (data + b"rubbish", r"a.gz:\d: not gzip"),
        (JSONL, "a.gz:1: not gzip"),
    ]:
        with pytest.raises(ConfigError, match=said):
            rows(Source(put(tmp_path / "a.gz", broken)))


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_not_utf8_is_refused_with_the_line(tmp_path: Path, packed: bool) -> None:
    """Guessing the encoding would pay for garbage."""
    data = b"good\n" * 200_000 + b"caf\xe9\n"
    path = put(tmp_path / ("a.txt.gz" if packed else "a.txt"), gzip.compress(data, 1) if packed else data)
    with pytest.raises(ConfigError, match=r"a.txt[.gz]*:200001: not UTF-8") as caught:
        rows(Source(path))
    assert caught.value.exit_code == 3


def test_utf16_is_refused_at_its_first_line(tmp_path: Path) -> None:
    """What Windows calls Unicode."""
    with pytest.raises(ConfigError, match=r"a\.jsonl:1: not UTF-8"):
        rows(Source(put(tmp_path / "a.jsonl", JSONL.decode().encode("utf-16"))))


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are configuration errors, with the path."""
    for path in (tmp_path / "missing.jsonl", tmp_path):
        for use in (lambda source: list(source.raw_rows()), lambda source: source.digest()):
            with pytest.raises(ConfigError, match=f"{path}: cannot be read"):
                use(Source(str(path)))


def test_a_tilde_is_what_it_is_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home, or else a letter of the name: a user that there is none of is no bug of ours."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, given in (("home.jsonl", "~/home.jsonl"), ("~a.jsonl", "~a.jsonl")):
        put(tmp_path / name, JSONL)
        assert rows(Source(given))
    with pytest.raises(ConfigError, match=r"^~nobody/x\.jsonl: cannot be read: No such file"):
        rows(Source("~nobody/x.jsonl"))


def test_a_json_list_is_refused_as_a_whole(tmp_path: Path) -> None:
    """Else every line of it would be a failed row."""
    with pytest.raises(ConfigError, match="a JSON list") as caught:
        rows(Source(put(tmp_path / "a.json", b'\n[{"prompt": "x"}]')))
    assert "jq -c" in caught.value.hint


def test_a_line_of_fifty_megabytes_is_one_row_and_is_never_held(tmp_path: Path) -> None:
    """It is refused by itself, in bounded memory, and the rows around it stand."""
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"prompt": "one"}\n')
        for _ in range(50):
            file.write(b"x" * 2**20)
        file.write(b'\n{"prompt": "two"}\n')
    tracemalloc.start()
    found = list(Source(str(path)).raw_rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row.number, row.line, row.too_long) for row in found] == [
        (0, 1, 0),
        (1, 2, 50 * 2**20),
        (2, 3, 0),
    ]
    assert peak < MAX_LINE + 4 * 2**20


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A million rows must fit where ten thousand do."""
    peaks = []
    for count in (100_000, 400_000):
        source = Source(put(tmp_path / "a.jsonl", b'{"prompt": "one"}\n' * count))
        tracemalloc.start()
        assert sum(1 for _ in source.raw_rows()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_stdin_is_jsonl_and_can_be_read_again() -> None:
    """A pipe comes once, the batch reads it three times."""
    with Source(None, io.BytesIO(JSONL)) as source:
        assert (source.name, source.kind) == ("stdin", "jsonl")
        assert rows(source) == rows(source) == ROWS
        assert [len(pair) for pair in zip(source.raw_rows(), source.raw_rows(), strict=True)] == [2, 2]
        assert source.digest() == blake2b(JSONL, digest_size=32).hexdigest()


def test_stdin_may_be_another_kind_and_packed() -> None:
    """There is no name to tell by, so the caller does; packed bytes tell themselves."""
    text = Source("-", io.BytesIO(b'{"not": "json"}\n'), kind="text")
    assert [row.text for row in text.raw_rows()] == [True]
    assert rows(Source("-", io.BytesIO(gzip.compress(JSONL)))) == ROWS


def test_faults_of_stdin_are_faults_of_stdin() -> None:
    """The message needs a name to go by."""
    with pytest.raises(ConfigError, match="stdin:2: not UTF-8"):
        rows(Source(None, io.BytesIO(b"{}\n\xff")))


def test_the_copy_of_stdin_is_private_and_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts may be secret, and a killed process leaves nothing behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = os.umask(0)
    try:
        source = Source(None, io.BytesIO(JSONL))
        source.digest()
    finally:
        os.umask(old)
    assert list(tmp_path.iterdir()) == []
    assert source._copy is not None
    assert stat.S_IMODE(os.fstat(source._copy.fileno()).st_mode) == 0o600


def test_a_full_disk_for_the_copy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user can name another folder with TMPDIR."""
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - the source closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    with pytest.raises(ConfigError, match="No space left") as caught:
        Source(None, io.BytesIO(JSONL)).digest()
    assert "TMPDIR" in caught.value.hint


def test_a_named_pipe_is_copied_as_stdin_is(tmp_path: Path) -> None:
    """`llmctl batch <(make-rows)` hands over a path that can be read once."""
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(JSONL,))
    writer.start()
    with Source(str(pipe)) as source:
        assert rows(source) == rows(source) == ROWS
    writer.join()


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    """It tells whether the file is the one that a journal was begun with."""
    data = os.urandom(3 * 2**20 + 5)
    assert Source(put(tmp_path / "a.gz", data)).digest() == blake2b(data, digest_size=32).hexdigest()
