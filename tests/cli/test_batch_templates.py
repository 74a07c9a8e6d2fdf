"""Batches through a template: every field a variable, every answer checked, every call counted."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

from ..conftest import Run
from ..server.client import TestServer

KEY = "sk-" + "aB3dE5gH7j" * 4
BROKEN = {
    'answer:{"label": "good", "confidence": 7}': 0.1,
    'answer:{"label": "good", "confidence": 0.5': 0.05,
    "cut_json": 0.05,
}
"""One answer in five: one that does not fit, one whose JSON is broken, one that is cut in transport."""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def test_a_thousand_rows_against_a_server_that_breaks_one_answer_in_five(
    llmctl: Run, server: TestServer, work: Path, home: Path
) -> None:
    """All rows end valid or failed with the reason, and the ledger knows of every call."""
    with (work / "in.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "content", "labels", "note"])
        table.writerows([f"r{n}", f'review {n}, "good" or not', "good,bad", "unused"] for n in range(1000))
    server.script(random={"seed": 1, "faults": BROKEN})
    done = llmctl("batch", "in.csv", "-t", "classify", "-o", "out.jsonl", "--json", timeout=170)
    summary = json.loads(done.stdout)
    assert done.returncode in (0, 9), done.stderr
    rows = lines(work / "out.jsonl")
    assert [row["id"] for row in rows] == [f"r{n}" for n in range(1000)]
    for row in rows:
        if row["status"] == "ok":
            assert set(row["parsed"]) == {"label", "confidence"}
            assert 0 <= row["parsed"]["confidence"] <= 1
        else:
            assert (row["status"], row["error"]["exit_code"]) in (("failed", 8), ("failed", 5))
            assert row["error"]["message"]
    assert summary["ok"] > 950
    log = server.log()
    assert len(log) > 1100
    assert sum(row["attempts"] for row in rows) == len(log) == summary["requests"]
    with sqlite3.connect(home / "ledger.db") as ledger:
        assert ledger.execute("SELECT sum(attempts) FROM calls").fetchone()[0] == len(log)
    contents = {str(entry["body"]["messages"][1]["content"]) for entry in log}
    assert any('review 7, "good" or not' in text and "good, bad" in text for text in contents)


def test_rows_that_lack_a_variable_fail_alone(llmctl: Run, server: TestServer, work: Path) -> None:
    """One bad row is not the end of a batch, and costs nothing; unknown fields are fine."""
    write(work / "in.jsonl", [{"content": "a", "more": 1}, {"text": "b"}, {"content": "c", "labels": ["x"]}])
    done = llmctl("batch", "in.jsonl", "-t", "classify", "-o", "out.jsonl")
    assert done.returncode == 9
    rows = lines(work / "out.jsonl")
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert "'content'" in rows[1]["error"]["message"]
    assert len(server.log()) == 2
    assert lines(work / "out.jsonl.failed.jsonl") == [{"text": "b"}]


def test_lines_of_text_fill_the_variable(llmctl: Run, server: TestServer, work: Path) -> None:
    """A list of texts is the plainest input there is."""
    (work / "in.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert llmctl("batch", "in.txt", "-t", "summarise", "-o", "out.jsonl").returncode == 0
    said = [entry["body"]["messages"][1]["content"] for entry in server.log()]
    assert any("\none\n" in text for text in said)
    assert any("\ntwo\n" in text for text in said)


def test_the_same_command_sends_nothing_again(llmctl: Run, server: TestServer, work: Path) -> None:
    """Templates, examples and schemas are part of what was done; changing one asks anew."""
    write(work / "in.jsonl", [{"prompt": f"p{n}"} for n in range(5)])
    write(work / "e.jsonl", [{"input": "i", "output": "o"}, {"input": "j", "output": "p"}])
    (work / "t.md").write_text("Say {{ prompt }}", encoding="utf-8")
    options = ("--examples", "e.jsonl", "--examples-how", "nearest:1", "-o", "out.jsonl")
    args = ("batch", "in.jsonl", "-t", "./t.md", *options)
    assert llmctl(*args).returncode == 0
    assert [row["text"] for row in lines(work / "out.jsonl")] == [f"echo: Say p{n}" for n in range(5)]
    assert "nothing was sent" in llmctl(*args).stderr
    assert len(server.log()) == 5
    (work / "t.md").write_text("Tell {{ prompt }}", encoding="utf-8")
    assert llmctl(*args).returncode == 0
    assert len(server.log()) == 10


def test_rows_that_the_checks_refuse(llmctl: Run, server: TestServer, work: Path) -> None:
    """A row with a key is `refused`, unpaid; the others go."""
    text = "models: {main: {model: openai/gpt-4o-mini}}\nchecks: [secret]\n"
    (work / "p.yaml").write_text(text, encoding="utf-8")
    write(work / "in.jsonl", [{"content": "fine"}, {"content": f"my key: {KEY}"}])
    done = llmctl("batch", "in.jsonl", "-p", "./p.yaml", "-t", "classify", "-o", "out.jsonl", "--json")
    assert done.returncode == 9
    rows = lines(work / "out.jsonl")
    assert [row["status"] for row in rows] == ["ok", "refused"]
    assert (rows[1]["error"]["exit_code"], rows[1]["attempts"], rows[1]["cost_usd"]) == (7, 0, 0)
    assert len(server.log()) == 1
    assert json.loads(done.stdout)["failed"] + json.loads(done.stdout)["refused"] == 1
    write(work / "all.jsonl", [{"content": f"my key: {KEY}"}, {"content": f"her key: {KEY}"}])
    args = ("batch", "all.jsonl", "-p", "./p.yaml", "-t", "classify", "-o", "all.out")
    assert [llmctl(*args).returncode for _ in range(2)] == [7, 7]
    assert len(server.log()) == 1


def test_a_schema_and_a_file_without_a_template(llmctl: Run, server: TestServer, work: Path) -> None:
    """What `run` understands, `batch` does."""
    write(work / "in.jsonl", [{"prompt": "who?"}])
    (work / "n.txt").write_text("a note", encoding="utf-8")
    done = llmctl("batch", "in.jsonl", "--schema", "name", "-f", "n.txt", "--optimize", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert "the prompt: " in done.stderr
    assert lines(work / "out.jsonl")[0]["parsed"] == {"name": "text"}
    assert "a note" in server.log()[0]["body"]["messages"][0]["content"]


def test_a_broken_template_ends_it_before_the_first_row(llmctl: Run, server: TestServer, work: Path) -> None:
    """A million rows must not fail one after the other for the same typing error."""
    write(work / "in.jsonl", [{"x": "y"}])
    (work / "t.md").write_text("{% if %}", encoding="utf-8")
    done = llmctl("batch", "in.jsonl", "-t", "./t.md", "-o", "out.jsonl")
    assert done.returncode == 3
    assert "t.md:1" in done.stderr
    assert not (work / "out.jsonl").exists()


def test_a_batch_says_what_shorter_prompts_saved(llmctl: Run, work: Path) -> None:
    """Over a million rows it is the sum that counts."""
    write(work / "in.jsonl", [{"prompt": f"Say {n}    in   one   word."} for n in range(20)])
    done = llmctl("batch", "in.jsonl", "--optimize", "-o", "out.jsonl", "--json")
    found = json.loads(done.stdout)["optimized"]
    assert found["saved_tokens"] == found["before"] - found["after"] > 20
    assert found["saved_usd"] > 0
