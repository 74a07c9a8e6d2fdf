"""`llmctl estimate` and `--dry-run`: what is said before is what is billed after."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmctl.usage.report import Query, report

from ..conftest import Run
from ..server.client import TestServer

WORDS = (
    "river",
    "stone",
    "lantern",
    "seven",
    "quiet",
    "harvest",
    "of",
    "the",
    "and",
    "a",
    "winter",
    "letter",
)
Rows = Callable[..., Path]
PRICED = """
models: {main: {model: openai/gpt-4o-mini, params: {max_tokens: 50}}}
prices: {openai/gpt-4o-mini: {input: 1.0, output: 10.0}}
"""


@pytest.fixture
def rows(work: Path) -> Rows:
    """Writes a file of prompts of 3 to 40 words, the same ones for the same seed."""

    def write(name: str, count: int, seed: int = 1, **more: Any) -> Path:
        chance = random.Random(seed)
        path = work / name
        with path.open("w", encoding="utf-8") as file:
            for number in range(count):
                prompt = f"{number} {' '.join(chance.choices(WORDS, k=chance.randint(3, 40)))}"
                file.write(json.dumps({"prompt": prompt, **more}) + "\n")
        return path

    return write


def estimate(llmctl: Run, *args: str, code: int = 0, **given: Any) -> dict[str, Any]:
    done = llmctl("estimate", *args, "--json", **given)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def batch(llmctl: Run, *args: str) -> dict[str, Any]:
    done = llmctl("batch", *args, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_bill_lies_between_low_and_most_and_then_where_it_was_expected(llmctl: Run, rows: Rows) -> None:
    """The whole promise: a range at first, and within 10 % once there is a history."""
    rows("first.jsonl", 200, seed=1)
    rows("second.jsonl", 150, seed=2)
    before = estimate(llmctl, "first.jsonl")
    bill = batch(llmctl, "first.jsonl", "-o", "first.out")["cost_usd"]
    assert before["cost_usd"]["low"] <= bill <= before["cost_usd"]["most"]
    assert before["models"][0]["expected_from"] == "rule"
    again = estimate(llmctl, "second.jsonl")
    bill = batch(llmctl, "second.jsonl", "-o", "second.out")["cost_usd"]
    assert again["cost_usd"]["low"] <= bill <= again["cost_usd"]["most"]
    assert again["cost_usd"]["expected"] == pytest.approx(bill, rel=0.1)
    assert again["models"][0]["expected_from"]["calls"] == 200


def test_nothing_is_sent_and_nothing_is_kept(llmctl: Run, rows: Rows, home: Path, server: TestServer) -> None:
    """An estimate that fills the cache, the ledger or a journal would change what comes after it."""
    rows("a.jsonl", 5)
    estimate(llmctl, "a.jsonl", "-o", "a.out")
    llmctl("run", "--dry-run", "hello")
    llmctl("batch", "a.jsonl", "-o", "a.out", "--dry-run")
    assert server.log() == []
    assert report(home / "ledger.db", Query()).total.calls == 0
    assert json.loads(llmctl("cache", "stats", "--json").stdout)["entries"] == 0
    assert sorted(path.name for path in (home.parent / "work").iterdir()) == ["a.jsonl"]


def test_what_will_not_be_sent_is_counted_apart(llmctl: Run, work: Path, rows: Rows) -> None:
    """Finished, doubled, cached and impossible rows cost nothing."""
    texts = ["one", "two", "one", "three", "four", "three"]
    lines = [json.dumps({"prompt": text}) for text in texts] + ['{"prompt": ""}', "no json"]
    (work / "a.jsonl").write_text("\n".join(lines) + "\n")
    assert "warning: row 6: line 7: " in llmctl("estimate", "a.jsonl").stderr
    first = estimate(llmctl, "a.jsonl")
    names = ("rows", "finished", "duplicates", "cached", "invalid", "to_send")
    assert [first[name] for name in names] == [8, 0, 2, 0, 2, 4]
    llmctl("batch", "a.jsonl", "-o", "out.jsonl", "--limit", "2", "--no-cache")
    llmctl("run", "four")
    later = estimate(llmctl, "a.jsonl", "-o", "out.jsonl")
    assert [later[name] for name in names] == [8, 3, 1, 1, 2, 1]
    assert estimate(llmctl, "a.jsonl", "-o", "out.jsonl", "--no-cache")["cached"] == 0
    assert estimate(llmctl, "a.jsonl", "-o", "out.jsonl", "--restart")["finished"] == 0
    assert [estimate(llmctl, "a.jsonl", "--limit", "3")[name] for name in names] == [3, 0, 1, 0, 0, 2]
    assert estimate(llmctl, "a.jsonl", "--shard", "1/2")["rows"] == 4


def test_failed_rows_are_sent_again_only_when_asked(llmctl: Run, rows: Rows, server: TestServer) -> None:
    """As `batch --retry-failed` would."""
    rows("a.jsonl", 3)
    server.script(queue=["content_policy"])
    llmctl("batch", "a.jsonl", "-o", "out.jsonl", "--concurrency", "1", "--no-cache")
    assert estimate(llmctl, "a.jsonl", "-o", "out.jsonl")["finished"] == 3
    assert estimate(llmctl, "a.jsonl", "-o", "out.jsonl", "--retry-failed")["to_send"] == 1


def test_a_prompt_is_priced_to_the_token(llmctl: Run, work: Path) -> None:
    """gpt-4o's own tokenizer: `Say hello` is two tokens, a message adds 3 and its role, the answer 3."""
    (work / "profiles").mkdir()
    (work / "profiles" / "priced.yaml").write_text(PRICED)
    found = estimate(llmctl, "-p", "priced", "Say hello")
    assert (found["input_tokens"], found["models"][0]["exact"]) == (9, True)
    assert found["output_tokens"] == {"low": 1, "expected": 50, "most": 50}
    assert found["cost_usd"]["most"] == pytest.approx((9 * 1 + 50 * 10) / 1e6)
    assert found["verdict"] == "fits"


def test_a_template_counts_as_it_is_sent(llmctl: Run, work: Path) -> None:
    """Its words are paid for in every row; fields of rows are its variables."""
    (work / "sum.md").write_text("Summarise in one sentence, please: {{ text }}\n")
    (work / "a.csv").write_text("text\nfirst\nsecond\n")
    plain = estimate(llmctl, "first")["input_tokens"]
    found = estimate(llmctl, "a.csv", "-t", "./sum.md")
    assert found["rows"] == 2
    assert found["input_tokens"] > 2 * plain + 10


@pytest.mark.parametrize("command", [("estimate",), ("run", "--dry-run")])
def test_max_cost_decides(llmctl: Run, command: tuple[str, ...]) -> None:
    """What does not fit is exit 6, before anything is sent; what fits is 0."""
    over = llmctl(*command, "hello", "--max-cost", "0.0001", "--json")
    found = json.loads(over.stdout)
    assert (over.returncode, found["verdict"], found["budgets"][0]["name"]) == (6, "over", "--max-cost")
    assert llmctl(*command, "hello", "--max-cost", "1").returncode == 0


def test_the_verdict_is_what_the_run_then_meets(llmctl: Run) -> None:
    """Between the most it costs and what is set aside lies a little; the estimate knows of both."""
    needs = estimate(llmctl, "hello", "--max-cost", "1")["budgets"][0]["needs_usd"]
    just, short = f"{needs:.9f}", f"{needs - 1e-9:.9f}"
    assert (llmctl("estimate", "hello", "--max-cost", short).returncode) == 6
    assert (llmctl("run", "--no-cache", "hello", "--max-cost", short).returncode) == 6
    assert (llmctl("estimate", "hello", "--max-cost", just).returncode) == 0
    assert (llmctl("run", "--no-cache", "hello", "--max-cost", just).returncode) == 0


def test_a_batch_that_fits_is_not_stopped(llmctl: Run, rows: Rows) -> None:
    """`fits` holds for the whole file, many in flight."""
    rows("a.jsonl", 40)
    needs = estimate(llmctl, "a.jsonl", "--max-cost", "9")["budgets"][0]["needs_usd"]
    done = llmctl("batch", "a.jsonl", "-o", "out.jsonl", "--max-cost", f"{needs:.9f}", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["ok"] == 40


def test_every_budget_has_its_share(llmctl: Run, work: Path) -> None:
    """A budget of one tag is not charged for the rows of another."""
    (work / "profiles").mkdir()
    budgets = "budgets: [{limit: 1, per: day}, {limit: 0.0001, per: day, tag: ci, name: ci}]"
    (work / "profiles" / "tight.yaml").write_text(f"extends: dev\n{budgets}\n")
    lines = [{"prompt": "one"}, {"prompt": "two"}, {"prompt": "three", "tag": "ci"}]
    (work / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = estimate(llmctl, "-p", "tight", "a.jsonl", code=6)
    day, ci = found["budgets"]
    assert (day["verdict"], ci["verdict"], found["verdict"]) == ("fits", "over", "over")
    assert day["needs_usd"] > 2 * ci["needs_usd"]


def test_an_unknown_price_is_unknown(llmctl: Run) -> None:
    """Null, not 0; refused under a budget alone."""
    found = estimate(llmctl, "hello", "-m", "openai/nobody-knows")
    assert found["cost_usd"] == {"low": None, "expected": None, "most": None}
    assert found["verdict"] == "unpriced"
    found = estimate(llmctl, "hello", "-m", "openai/nobody-knows", "--max-cost", "1", code=6)
    assert found["verdict"] == "unpriced"
    told = llmctl("estimate", "hello", "-m", "openai/nobody-knows").stdout
    assert "prices: {openai/nobody-knows: {input:" in told
    assert "?" in told
    assert "$0.00" not in told


def test_a_cascade_costs_at_most_all_its_steps(llmctl: Run) -> None:
    """Nobody knows beforehand which answers fail."""
    found = estimate(llmctl, "-p", "thrifty", "hello")
    small, big = found["models"]
    assert (small["requests"], big["requests"], big["step"]) == (1, 0, 1)
    assert found["cost_usd"]["most"] == pytest.approx(small["cost_usd"]["most"] + big["cost_usd"]["most"])
    assert found["cost_usd"]["expected"] == small["cost_usd"]["expected"]


def test_redaction_is_counted_as_it_leaves(llmctl: Run, work: Path) -> None:
    """The cache knows a request by what left the machine; so does the estimate."""
    (work / "profiles").mkdir()
    (work / "profiles" / "shy.yaml").write_text("extends: dev\nprivacy: {redact: [email]}\n")
    prompt = "write to jane.doe@example.com"
    assert llmctl("run", "-p", "shy", prompt).returncode == 0
    assert estimate(llmctl, "-p", "shy", prompt)["cached"] == 1
    (work / "a.jsonl").write_text(json.dumps({"prompt": prompt}) + "\n")
    assert estimate(llmctl, "-p", "shy", "a.jsonl")["cached"] == 1


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("no-such-file.jsonl",), 3, "no-such-file.jsonl"),
        (("hello", "-o", "out.jsonl"), 2, "for files"),
        (("hello", "--max-cost", "nan"), 2, "--max-cost"),
        ((), 2, "no prompt"),
    ],
)
def test_bad_input_is_told(llmctl: Run, args: tuple[str, ...], code: int, said: str) -> None:
    """A misspelt file is not the price of its name."""
    done = llmctl("estimate", *args)
    assert done.returncode == code
    assert said in done.stderr


@pytest.mark.parametrize("prompt", ["word " * 150, "w" * 300, "~nobody.is.it wrote this"])
def test_a_prompt_that_could_be_no_file(llmctl: Run, prompt: str) -> None:
    """The system's own limits on names and homes are no limits on prompts."""
    assert estimate(llmctl, prompt)["rows"] == 1


def test_rows_from_a_pipe(llmctl: Run) -> None:
    """`-` is a file of rows, as for batch; a piped text without it is a prompt, as for run."""
    text = '{"prompt": "one"}\n{"prompt": "two"}\n'
    assert estimate(llmctl, "-", stdin=text)["rows"] == 2
    assert estimate(llmctl, stdin=text)["rows"] == 1


def test_a_batchs_command_line_is_an_estimates(llmctl: Run, rows: Rows) -> None:
    """One word is changed, and what it costs is known."""
    rows("a.jsonl", 3)
    line = [
        "a.jsonl",
        "-o",
        "out.jsonl",
        "--concurrency",
        "8",
        "--rpm",
        "600",
        "--tpm",
        "1000",
        "--order",
        "done",
    ]
    assert estimate(llmctl, *line, "--format", "openai")["to_send"] == 3


def test_people_read_a_table(llmctl: Run, rows: Rows) -> None:
    """Rows, money, and the verdict in words."""
    rows("a.jsonl", 3)
    told = llmctl("estimate", "a.jsonl", "--max-cost", "0.001")
    assert told.returncode == 6
    assert "to send" in told.stdout
    assert "verdict: over: it may cost more than is left of --max-cost" in told.stdout
    assert "o200k_base" in told.stdout


def test_each_template_has_its_own_history(llmctl: Run, work: Path, server: TestServer) -> None:
    """One asks for a word and the next for a page, of the same model and under the same profile."""
    (work / "word.md").write_text("Say one word about {{ text }}\n")
    (work / "page.md").write_text("Write a page about {{ text }}\n")
    texts = "".join(json.dumps({"text": f"topic {n}"}) + "\n" for n in range(20))
    (work / "a.jsonl").write_text(texts)
    server.script(
        match=[{"contains": "page", "default": "words:300"}, {"contains": "word", "default": "words:3"}]
    )
    bills = {}
    for name in ("word", "page"):
        bills[name] = batch(llmctl, "a.jsonl", "-t", f"./{name}.md", "-o", f"{name}.out")["cost_usd"]
    for name, bill in bills.items():
        found = estimate(llmctl, "a.jsonl", "-t", f"./{name}.md", "--no-cache")
        assert found["cost_usd"]["expected"] == pytest.approx(bill, rel=0.1)
        assert found["models"][0]["expected_from"]["of"].endswith("and template")


def test_searches_without_a_limit_have_no_most(llmctl: Run) -> None:
    """A verdict of `fits` would be broken by the first batch, which a budget refuses."""
    asked = ("hello", "-O", 'tools=[{"type": "web_search_20250305", "name": "web_search"}]')
    found = estimate(llmctl, *asked, "-m", "anthropic/claude-sonnet-4-5", "--max-cost", "1", code=6)
    assert (found["cost_usd"]["most"], found["verdict"]) == (None, "unpriced")
    done = llmctl(
        "run", *asked, "-m", "anthropic/claude-sonnet-4-5", "--max-cost", "1", env={"ANTHROPIC_API_KEY": "x"}
    )
    told = llmctl("estimate", *asked, "-m", "anthropic/claude-sonnet-4-5").stdout
    assert "nothing limits how often it searches" in told
    assert (done.returncode, "set the tool's max_uses" in done.stderr) == (6, True)
