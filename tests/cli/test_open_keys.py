"""A key in the open is refused wherever it stands; the message says what to do and never repeats it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer

CANARY = "sk-" + "canary" * 4
PLAIN = "opaque-canary-value"


def unseen(home: Path, *texts: str) -> None:
    """Neither told nor kept."""
    kept = [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]
    assert not any("canary" in text for text in (*texts, *kept))


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["run", "hi", "-O", f"api_key={PLAIN}"], 2, "keys: [env:NAME]"),
        (["run", "hi", "-O", f"user={CANARY}"], 2, "keys: [env:NAME]"),
        (["run", "hi", "-m", CANARY], 2, "command line"),
        (["run", "hi", "--tag", CANARY], 2, "command line"),
        (["run", "hi", CANARY], 2, "quote"),
        (["-p", CANARY, "run", "hi"], 3, "no profile '***'"),
        (["keys", "set", CANARY], 2, "command line"),
        (["keys", "set", "keyring:a/b", CANARY], 2, "quote"),
    ],
)
def test_command_line(llmctl: Run, home: Path, args: list[str], code: int, said: str) -> None:
    """Other users of the machine read command lines, and shells keep them."""
    done = llmctl(*args)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    unseen(home, done.stderr)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"models: {{main: {{model: openai/m, keys: [{CANARY}]}}}}", "env:NAME"),
        (f"models: {{main: {{model: openai/m, keys: [{PLAIN}]}}}}", "a reference"),
        (f"models: {{main: {{model: openai/m, headers: {{X-Api-Key: {PLAIN}}}}}}}", "keyring:SERVICE/NAME"),
        (f"models: {{main: {{model: openai/m, params: {{api_key: {PLAIN}}}}}}}", "keys: [env:NAME]"),
        (f"providers: {{openai: {{headers: {{Authorization: Bearer {PLAIN}}}}}}}", "keyring:SERVICE/NAME"),
        (f"params: {{extra_headers: {{Authorization: Bearer {PLAIN}}}}}", "keys: [env:NAME]"),
        (f"cache: {{encrypt: {PLAIN}}}", "a reference"),
    ],
)
def test_profile(llmctl: Run, work: Path, home: Path, body: str, said: str) -> None:
    """Profiles are committed, copied and shown."""
    (work / "p.yaml").write_text(f"description: x\n{body}\n")
    for args in (("run", "hi"), ("profile", "show"), ("profile", "check", "p.yaml")):
        done = llmctl("-p", "./p.yaml", *args)
        assert done.returncode == 3, done.stderr
        assert "p.yaml:2: " in done.stderr and said in done.stderr
        unseen(home, done.stdout, done.stderr)


def test_rows(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """Such a row fails alone; the others are asked."""
    rows = [
        {"prompt": "x", "params": {"api_key": PLAIN}},
        {"prompt": "x", "params": {"token": PLAIN}},
        {"prompt": "x", "params": {"user": CANARY}},
        {"prompt": "x", "params": {"extra_headers": {"Authorization": PLAIN}}},
        {"prompt": "x", "api_key": PLAIN},
        {"prompt": "x", "tag": CANARY},
        {"prompt": "x", "model": CANARY},
        {"prompt": "fine"},
    ]
    (work / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "-m", "openai/gpt-4o-mini")
    assert done.returncode == 9, done.stderr
    found = [json.loads(line) for line in (work / "out.jsonl").read_text().splitlines()]
    assert [row["status"] for row in found] == ["failed"] * 7 + ["ok"]
    assert all("profile" in row["error"]["message"] + row["error"]["hint"] for row in found[:7])
    assert server.stats()["requests"] == 1
    unseen(home, (work / "out.jsonl").read_text(), (work / "out.jsonl.journal").read_text(), done.stderr)


def test_a_header_by_reference(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """A gateway's second key comes from the same places as the first."""
    model = "{model: openai/gpt-4o-mini, headers: {X-Gateway-Key: 'env:GATEWAY'}}"
    (work / "p.yaml").write_text(f"extends: base\nmodels: {{main: {model}}}\n")
    done = llmctl("-p", "./p.yaml", "run", "hi", env={"GATEWAY": PLAIN})
    assert done.returncode == 0, done.stderr
    assert server.log()[-1]["headers"]["x-gateway-key"] == PLAIN
    unseen(home, done.stdout, done.stderr, llmctl("-p", "./p.yaml", "profile", "show").stdout)
    missing = llmctl("-p", "./p.yaml", "run", "again")
    assert missing.returncode == 4 and "GATEWAY is unset" in missing.stderr


@pytest.mark.parametrize(
    "bad", ["made-up\ncanary", "made-up-canary\n", "made-up-canäry-canary", "a canary key"]
)
def test_fault_98_a_key_with_strange_signs(llmctl: Run, server: TestServer, home: Path, bad: str) -> None:
    """A line end in a header is another header: exit 3, and the key is not shown."""
    done = llmctl("run", "hi", "-m", "openai/gpt-4o-mini", env={"OPENAI_API_KEY": bad})
    assert done.returncode == 3, done.stderr
    assert "env:OPENAI_API_KEY" in done.stderr and len(done.stderr.splitlines()) == 1
    assert server.stats()["requests"] == 0
    unseen(home, done.stdout, done.stderr)


def test_keys_set_stores_in_the_keyring(llmctl: Run, server: TestServer, work: Path, home: Path) -> None:
    """Typed once, never an argument; from then on the profile's reference finds it."""
    pytest.importorskip("keyring")
    (work / "chest.py").write_text(
        "import json, pathlib, keyring.backend\n"
        "FILE = pathlib.Path(__file__).with_name('chest.json')\n"
        "class Chest(keyring.backend.KeyringBackend):\n"
        "    priority = 1\n"
        "    def _all(self): return json.loads(FILE.read_text()) if FILE.exists() else {}\n"
        "    def get_password(self, service, name): return self._all().get(f'{service}/{name}')\n"
        "    def set_password(self, service, name, value):\n"
        "        FILE.write_text(json.dumps({**self._all(), f'{service}/{name}': value}))\n"
    )
    env = {
        "PYTHON_KEYRING_BACKEND": "chest.Chest",
        "PYTHONPATH": f"{work}{os.pathsep}{Path(__file__).parents[2]}",
    }
    stored = llmctl("keys", "set", "keyring:llmctl/openai", stdin=CANARY + "\n", env=env)
    assert (stored.returncode, stored.stdout) == (0, "keyring:llmctl/openai: stored\n"), stored.stderr
    model = "{model: openai/gpt-4o-mini, keys: ['keyring:llmctl/openai']}"
    (work / "p.yaml").write_text(f"extends: base\nmodels: {{main: {model}}}\n")
    done = llmctl("-p", "./p.yaml", "run", "hi", env=env)
    assert done.returncode == 0, done.stderr
    assert server.log()[-1]["headers"]["authorization"] == f"Bearer {CANARY}"
    unseen(home, stored.stdout, stored.stderr, done.stdout, done.stderr)
