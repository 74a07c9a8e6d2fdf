"""llmctl privacy scan: what would be found, in every kind of file that a batch reads."""

import gzip
import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.server.client import TestServer

MAIL, CARD = "bob@example.com", "4111 1111 1111 1111"
JSONL = (
    json.dumps({"prompt": f"to {MAIL}"})
    + "\n\n"
    + json.dumps({"messages": [{"role": "user", "content": CARD}]})
    + "\n"
)
BATCH = json.dumps(
    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
     "body": {"messages": [{"role": "user", "content": f"{MAIL} {CARD}"}]}}
)  # fmt: skip
FILES = {
    "rows.jsonl": JSONL.encode(),
    "openai.jsonl": BATCH.encode(),
    "fields.jsonl": json.dumps({"mail": MAIL, "card": int(CARD.replace(" ", ""))}).encode(),
    "table.csv": f'name,note\nAnn,"first\n{MAIL}"\nBob,{CARD}\n'.encode(),
    "table.tsv": f"name\tnote\n{MAIL}\t{CARD}\n".encode(),
    "lines.txt": f"{MAIL}\nnothing\n{CARD}\n".encode(),
    "none": f"write to {MAIL}\nand {CARD}\n".encode(),
    "rows.jsonl.gz": gzip.compress(JSONL.encode()),
    "broken.jsonl": f'{{"prompt": "{MAIL}\n{CARD}\n'.encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file(llmctl: Run, work: Path, name: str) -> None:
    """What is not looked at in one kind of file leaves from it."""
    (work / name).write_bytes(FILES[name])
    done = llmctl("-p", "prod", "privacy", "scan", name, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"card": 1, "email": 1}
    shown = llmctl("-p", "prod", "privacy", "scan", "--show", name)
    assert MAIL in shown.stdout and CARD[-4:] in shown.stdout


def test_parquet_and_zstd(llmctl: Run, work: Path) -> None:
    """The kinds that need an extra are read as batch reads them."""
    import pyarrow
    import pyarrow.parquet
    import zstandard

    pyarrow.parquet.write_table(pyarrow.table({"note": [f"to {MAIL}", CARD]}), work / "t.parquet")
    (work / "r.jsonl.zst").write_bytes(zstandard.compress(JSONL.encode()))
    for name in ("t.parquet", "r.jsonl.zst"):
        done = llmctl("-p", "prod", "privacy", "scan", name, "--json")
        assert json.loads(done.stdout)["counts"] == {"card": 1, "email": 1}, done.stderr


def test_counts_only_unless_asked(llmctl: Run, work: Path) -> None:
    """The report of a CI job is read by more people than the file."""
    done = llmctl("-p", "prod", "privacy", "scan", "-", stdin=JSONL)
    assert done.returncode == 0 and "email" in done.stdout
    assert MAIL not in done.stdout + done.stderr and "4111" not in done.stdout + done.stderr
    assert llmctl("privacy", "scan", "gone.jsonl").returncode == 3


def test_the_profiles_own_words_are_looked_for(llmctl: Run, work: Path) -> None:
    """What a profile would hide is what a scan under it finds; without kinds it looks for all."""
    (work / "p.yaml").write_text("extends: dev\nprivacy: {names: [Ana Torres], patterns: {ORDER: 'ORD-.'}}\n")
    (work / "in.txt").write_text(f"Ana Torres, ORD-12, {MAIL}\n")
    done = llmctl("-p", "p.yaml", "privacy", "scan", "in.txt", "--json")
    assert json.loads(done.stdout)["counts"] == {"ORDER": 1, "email": 1, "name": 1}
    assert "looked for all" in done.stderr


@pytest.mark.parametrize("form", ["llmctl", "openai"])
def test_a_blocked_answer_is_nowhere(
    llmctl: Run, work: Path, server: TestServer, home: Path, form: str
) -> None:
    """Neither OUT nor journal nor cache nor ledger may keep what was not to be shown."""
    secret = "ghp_" + "a1B2c3D4e5" * 4
    server.script(default=f"answer:the token is {secret}")
    (work / "p.yaml").write_text("extends: dev\nprivacy: {answers: block}\n")
    (work / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    for command in (
        ("batch", "in.jsonl", "-o", "out.jsonl", "--format", form),
        ("run", "c"),
        ("run", "c", "--json"),
    ):
        done = llmctl("-p", "p.yaml", *command)
        assert done.returncode == (9 if command[0] == "batch" else 8)
        assert secret not in done.stdout + done.stderr and "1 secret" in done.stdout + done.stderr + out(work)
    files = [path for folder in (work, home) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 4 and not [path for path in files if secret.encode() in path.read_bytes()]
    assert llmctl("-p", "p.yaml", "run", "c").returncode == 8 and len(server.log()) == 5


def out(work: Path) -> str:
    return (work / "out.jsonl").read_text()
