"""What a profile redacts is in OUT and nowhere else on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmctl.batch.rows import Row
from llmctl.batch.veil import Veil
from llmctl.core.errors import SchemaMismatch
from llmctl.core.model import Request, Response, Target
from llmctl.core.profile import PrivacyRule
from llmctl.privacy.redact import Redactor
from llmctl.stages.redact import restored

from ..conftest import Run
from ..server.client import TestServer
from .harness import asked, lines, questions, read, requests, write

EMAIL = "canary.jane@example.com"
CARD = "4111 1111 1111 1111"
CANARIES = (EMAIL, CARD, CARD.replace(" ", ""), "canary")


def leaks(folder: Path, *but: str) -> list[str]:
    """Files below the folder that hold a canary, as text or packed into a page."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in but
        and any(canary.encode() in path.read_bytes() for canary in CANARIES)
    ]


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return [
        {"prompt": f"Write to {EMAIL} about card {CARD}"},
        {"prompt": "nothing to hide"},
        {"prompt": f"Write to {EMAIL} about card {CARD}", "id": "a double"},
        {"prompt": "an id that tells", "id": EMAIL},
        {"prompt": f"this one is refused, {EMAIL}"},
        {"promt": f"a wrong field, {EMAIL}"},
        {"messages": [{"role": "user", "content": f"Is <EMAIL_1> the same as {EMAIL}?"}]},
        {EMAIL: "a field that tells"},
        {"prompt": "a parameter that tells", "params": {EMAIL: 1}},
        {"prompt": "a model that tells", "model": EMAIL},
    ]


def test_canaries(
    llmctl: Run, server: TestServer, work: Path, home: Path, rows: list[dict[str, Any]]
) -> None:
    """Journal, ledger, cache and logs never see them; the reader of OUT does."""
    write(work / "in.jsonl", rows)
    server.script(match=[{"contains": "refused", "default": "status:400"}])
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "prod")
    assert done.returncode == 9
    assert not any("canary" in prompt or CARD in prompt for prompt in asked(server))
    assert not leaks(work, "in.jsonl", "out.jsonl", "out.jsonl.failed.jsonl")
    assert not leaks(home)
    assert not any(canary in done.stderr for canary in CANARIES)
    found = read(work / "out.jsonl")
    assert [row["id"] for row in found] == ["0", "1", "a double", EMAIL, "4", "5", "6", "7", "8", "9"]
    for row in (found[7], found[9]):
        assert "<EMAIL_1>" in row["error"]["message"]
    for row, given in zip(found, rows, strict=True):
        if row["status"] == "ok":
            prompt = given.get("prompt") or given["messages"][0]["content"]
            assert row["text"] == f"echo: {prompt}"
    assert read(work / "out.jsonl.failed.jsonl") == [rows[4], rows[5], rows[7], rows[9]]
    again = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "prod", "--limit", "6")
    assert again.returncode == 9
    assert read(work / "out.jsonl") == found[:6]
    assert requests(server) == 6


@pytest.mark.parametrize("extra", [("--order", "done"), ("--format", "openai"), ()])
def test_every_way_out_restores(
    extra: tuple[str, ...], llmctl: Run, work: Path, home: Path, rows: list[dict[str, Any]]
) -> None:
    """To stdout or to a file, in any order and form."""
    write(work / "in.jsonl", rows[:4])
    out = llmctl("batch", "in.jsonl", "-p", "prod", *extra).stdout
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "prod", *extra).returncode == 0
    for found in (lines(out), read(work / "out.jsonl")):
        texts = [
            row["response"]["body"]["choices"][0]["message"]["content"] if "response" in row else row["text"]
            for row in found
        ]
        assert sorted(texts) == sorted(f"echo: {row['prompt']}" for row in rows[:4])
    assert not leaks(work, "in.jsonl", "out.jsonl")
    assert not leaks(home)


def test_a_schema_and_a_secret(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """Answers that are JSON come back with their values escaped, and the journal has none."""
    body = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "gpt-4.1",
            "messages": [{"role": "user", "content": f"Who is {EMAIL}?"}],
            "response_format": {"type": "json_object"},
        },
    }
    write(work / "in.jsonl", [body])
    server.script(default='answer:{"mail": "<EMAIL_1>", "said": "\\"<EMAIL_1>\\""}')
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "prod")
    assert done.returncode == 0, done.stderr
    (row,) = read(work / "out.jsonl")
    said = json.loads(row["response"]["body"]["choices"][0]["message"]["content"])
    assert said == {"mail": EMAIL, "said": f'"{EMAIL}"'}
    assert not leaks(work, "in.jsonl", "out.jsonl")
    assert not leaks(home)


def test_turning_redaction_on_later(llmctl: Run, server: TestServer, work: Path) -> None:
    """A journal from before is no place to look for placeholders: rows come out as they are."""
    write(work / "in.jsonl", questions(3))
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-m", "openai/gpt-4.1").returncode == 0
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", "prod").returncode == 0
    assert [row["text"] for row in read(work / "out.jsonl")] == [f"echo: question {n}" for n in range(3)]


def test_another_rule_asks_anew(llmctl: Run, server: TestServer, work: Path) -> None:
    """What one rule hid no other can put back: those rows are sent again, and only those."""
    (work / "profiles").mkdir()
    (work / "profiles" / "more.yaml").write_text("extends: prod\nprivacy: {names: [Rumpelstiltskin]}\n")
    (work / "profiles" / "open.yaml").write_text("extends: prod\nprivacy: {redact: []}\n")
    rows = [{"prompt": f"mail {EMAIL}"}, {"prompt": "nothing to hide"}]
    write(work / "in.jsonl", rows)
    sent = []
    for profile in ("prod", "more", "open", "open"):
        done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-p", profile, "--no-cache")
        assert done.returncode == 0, done.stderr
        assert [row["text"] for row in read(work / "out.jsonl")] == [f"echo: {row['prompt']}" for row in rows]
        sent.append(requests(server))
    assert sent == [2, 3, 4, 4]


def request(text: str, **more: Any) -> Request:
    target = Target("main", "openai/x", "openai")
    return Request(target, ({"role": "user", "content": text},), **more)


@pytest.mark.parametrize(
    "answer",
    [
        f"To {EMAIL}.",
        "nothing",
        "<EMAIL_1> as it stands",
        f'{{"a": "{EMAIL}"}}',
        f"{EMAIL}{EMAIL} {CARD} 4111",
    ],
)
@pytest.mark.parametrize("is_json", [True, False])
def test_down_and_up_again(answer: str, is_json: bool) -> None:
    """Whatever an answer says, OUT says the same, and the journal has none of it."""
    rule = PrivacyRule(redact=("email", "card"))
    asks = request(
        f"{EMAIL} and {CARD}", params={"response_format": {"type": "json_object"}} if is_json else {}
    )
    redactor = Redactor(rule)
    redactor.redact_messages(asks.messages)
    given = restored(Response(answer, "openai/x", parsed={"k": [answer]}), redactor, is_json)
    row = Row(0, 1, "0", prompt=f"{EMAIL} and {CARD}")
    veil = Veil(rule, lambda _: asks, lambda request: request)
    down = veil.down(asks, given)
    assert isinstance(down, Response)
    assert EMAIL not in down.text + str(down.parsed)
    payload = veil.rendered(row, given, False, asks)
    assert EMAIL.encode() not in payload
    up = json.loads(veil.up(row, payload))
    assert (up["text"], up["parsed"]) == (given.text, given.parsed)


def test_an_error_that_quotes_the_answer() -> None:
    """A message about an answer that does not fit may hold what the answer held."""
    rule = PrivacyRule(redact=("email",))
    asks = request(f"{EMAIL}?")
    redactor = Redactor(rule)
    redactor.redact_messages(asks.messages)
    answer = restored(Response("<EMAIL_1>", "openai/x"), redactor)
    error = SchemaMismatch(f"'{EMAIL}' is not a number", response=answer)
    down = Veil(rule, lambda _: asks, lambda request: request).down(asks, error)
    assert isinstance(down, SchemaMismatch)
    assert down.message == "'<EMAIL_1>' is not a number"
    assert down.response is not None
    assert down.response.text == "<EMAIL_1>"
