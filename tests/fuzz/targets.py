"""What is fuzzed: each parser with texts to begin from, its words, and what it may raise.

A target takes bytes and either comes back or raises one of our own errors; anything else is a crash.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llmctl.batch.journal import NO_KEY, Journal
from llmctl.batch.lines import RawRow, line_rows, split, utf8
from llmctl.batch.rows import parse as parse_row
from llmctl.batch.tables import csv_rows
from llmctl.config.nodes import parse as parse_yaml
from llmctl.config.schema import build_profile
from llmctl.core.addresses import refuse_address
from llmctl.core.model import Request, Target
from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.privacy.redact import Redactor
from llmctl.prompts import templates
from llmctl.prompts.render import Renderer
from llmctl.providers.events import Parser
from llmctl.providers.openai import OpenAIStream

ROOT = Path(__file__).resolve().parents[2]
REQUEST = Request(Target("main", "openai/test", "openai"), ({"role": "user", "content": "hi"},))
RULE = PrivacyRule(redact=PRIVACY_KINDS, names=("Anna Müller",), patterns={"order": r"ORD-\d{1,9}"})
ENDS = (b"\n\n", b"\r\n\r\n", b"\n", b"data: ", b"event: error\n", b"[DONE]", b":", b"\r")
JSONS = (
    b'{"',
    b'":',
    b"null",
    b"1e999",
    b"-0",
    b"[[[[",
    b"}}}}",
    b'"\\ud800"',
    b"NaN",
    b"99999999999999999999",
    b"true",
)
YAMLS = (
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!python/name:os.system ",
    b"? ",
    b"- ",
    b": ",
    b"---\n",
    b"{",
    b"[",
    b"|\n",
    b"\t",
    b".inf",
    b"~",
)


@dataclass(frozen=True)
class Fuzzed:
    """One parser: `seeds` to be mutated, `words` to be put in."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


def profile(data: bytes) -> object:
    return build_profile(parse_yaml(data.decode("utf-8", "replace"), "p.yaml"))


def rows(data: bytes) -> object:
    for template in (False, True):
        for raw in line_rows(split(utf8([data], "in")), text=False):
            _same_again(parse_row(raw, template).line, raw)
        for raw in csv_rows(split(utf8([data], "in")), "in", ","):
            _same_again(parse_row(raw, template).line, raw)
    return None


def _same_again(line: int, raw: RawRow) -> None:
    assert line == raw.line


def template(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    head, body, line = templates.split_head(text, "t.md")
    return Renderer(templates.from_markdown(head, body, line, "t.md")).messages({"content": "x", "n": 3})


def events(data: bytes) -> object:
    """In pieces of 7 bytes: however a stream is cut, the same events come out of it."""
    whole = list(Parser().feed(data))
    parser = Parser()
    pieces = [event for at in range(0, len(data), 7) for event in parser.feed(data[at : at + 7])]
    assert pieces == whole
    stream = OpenAIStream(REQUEST)
    for event in whole:
        if event == b"[DONE]":
            break
        stream.feed(event)
    return stream.finish()


def journal(data: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "out.journal"
        path.write_bytes(data)
        path.chmod(0o600)
        opened = Journal(path)
        try:
            found = list(opened.records())
            if found:
                opened.append("o", 9, NO_KEY, b'{"text":"more"}')
                opened.sync()
                assert len(list(opened.records())) == len(found) + 1
        finally:
            opened.close()
    return found


def address(data: bytes) -> object:
    refuse_address(data.decode("utf-8", "replace"))
    return None


def redaction(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    redactor = Redactor(RULE)
    assert redactor.restore(redactor.redact(text)) == text
    return None


def _journal_seed() -> bytes:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "out.journal"
        opened = Journal(path)
        opened.append("h", 0, NO_KEY, b'{"version":1}')
        for row in range(3):
            opened.append("o", row, f"{row}" * 32, b'{"text":"one"}')
        opened.sync()
        opened.close()
        return path.read_bytes()


def _chunks() -> Iterator[bytes]:
    for delta in ({"role": "assistant"}, {"content": "Hel"}, {"content": "lo"}, {}):
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        yield b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"
    yield b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]\n\n'


def _files(folder: str, pattern: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((ROOT / folder).glob(pattern)))


ROWS = (
    b'{"prompt": "a", "id": "1", "params": {"temperature": 0.5}, "tag": "x"}\n'
    b'{"messages": [{"role": "user", "content": "b"}]}\n',
    b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",'
    b' "body": {"model": "m", "messages": [{"role": "user", "content": "c"}]}}\n',
    b'prompt,id\n"two\nlines",1\nb,2\n',
)
TEMPLATE = (
    b"---\ndescription: d\nvariables:\n  content: {type: string}\n  n: 3\n---\n<|system|>\nBe kind.\n"
    b"<|user|>\n{% for i in range(2) %}{{ content | upper }} {{ n }}{% endfor %}\n"
)
JINJA = (
    b"{{ ",
    b" }}",
    b"{% for a in range(10**9) %}",
    b"{% endfor %}",
    b".__class__",
    b"'a' * 10**9",
    b"| format(1)",
    b"~",
    b"<|user|>",
)
URLS = (
    b"169.254.169.254",
    b"0x",
    b"[::ffff:",
    b"]",
    b"@",
    b"%31",
    b"://",
    b":",
    b".",
    "。".encode(),
    b"2852039166",
    b"\\",
)
TEXTS = (
    b"bob@example.com",
    b"4111 1111 1111 1111",
    b"<EMAIL_1>",
    b"+49 30 901820",
    b"password: ",
    b"\\n",
    b"\\u0040",
    b"<",
    b"://a:b@",
    b"key=",
)

TARGETS = {
    "profile": Fuzzed(profile, _files("profiles", "*.yaml"), YAMLS),
    "row": Fuzzed(rows, ROWS, (*JSONS, b",", b'"', b"\n", b"\x00", "\u2028".encode())),
    "template": Fuzzed(template, (TEMPLATE, *_files("llmctl/prompts/library", "*.md")), (*JINJA, *YAMLS)),
    "events": Fuzzed(events, (b"".join(_chunks()),), (*ENDS, *JSONS)),
    "journal": Fuzzed(journal, (_journal_seed(),), (b"\n", b" o 0 ", b"deadbeef ", b" h ", b"0" * 32)),
    "address": Fuzzed(address, (b"https://api.openai.com/v1", b"http://[::1]:80/"), URLS),
    "redaction": Fuzzed(redaction, (b"Write to Anna M\xc3\xbcller, bob@example.com, ORD-1.",), TEXTS),
}
