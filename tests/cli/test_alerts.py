"""Alerts as users meet them: rules in a profile, a real receiver, real processes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmctl import Client
from llmctl.config.nodes import ProfileError
from llmctl.core.errors import BadRequest, LlmctlError
from llmctl.services import Services

from ..conftest import Run
from ..notify.receiver import Receiver, receiving
from ..server.client import TestServer
from ..test_startup import loaded
from ..usage.kit import Kit

BEFORE = "models: {main: {model: openai/gpt-4o-mini, params: {max_tokens: 50}}}\nretry: 1\ncache: false\n"
ERRORS = "alerts:\n  - {metric: error_rate, over: 0.1}\n"
Write = Callable[[str], None]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def profile(work: Path) -> Write:
    """Writes the profile that the commands here use."""

    def write(text: str) -> None:
        folder = work / "profiles"
        folder.mkdir(exist_ok=True)
        (folder / "watched.yaml").write_text(BEFORE + text)
        (work / "llmctl.yaml").write_text("profile: watched\n")

    return write


@pytest.fixture
def failing(home: Path) -> None:
    """Twelve calls in the ledger, every one of them refused; nobody has looked at a rule yet."""
    kit = Kit(home / "ledger.db", group=True)
    for n in range(12):
        kit.call(time.time() - 60 + n, error=BadRequest("no"), cost=0)
    kit.done()


def test_check_says_what_is_broken(failing: None, profile: Write, llmctl: Run) -> None:
    """Exit 10 and one line for cron; the envelope for scripts; list only looks."""
    profile(ERRORS + "  - {metric: p95_latency, over: 50}\n")
    assert llmctl("alerts", "list").returncode == 0
    done = llmctl("alerts", "check")
    assert done.returncode == 10
    assert done.stderr.splitlines() == [
        "llmctl: 1 alert rule is broken: error_rate is 100 % (over 10 %), 12 calls in 15 min"
    ]
    done = llmctl("alerts", "check", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["error"]["exit_code"], found["error"]["type"]) == (10, 10, "alert")
    first, second = found["alerts"]
    assert (first["state"], first["value"], first["calls"], first["since"] is None) == (
        "firing",
        1,
        12,
        False,
    )
    assert (second["state"], second["since"], second["over"]) == ("ok", None, 50)


def test_ten_processes_send_one_message(
    failing: None, profile: Write, llmctl: Run, environ: dict[str, str], work: Path, receiver: Receiver
) -> None:
    """Also where the receiver fails twice: one beginning, and later one end, for each condition."""
    profile(ERRORS + f"  - {{metric: success_rate, under: 0.5}}\nnotify: ['{receiver.url}']\n")
    receiver.statuses = [500, 500]
    check_at_once(environ, work, [10] * 10)
    begun = receiver.messages("alert.firing")
    assert sorted(each["data"]["metric"] for each in begun) == ["error_rate", "success_rate"]
    assert len(receiver.refused) == 2
    with Client("dev", home=environ["LLMCTL_HOME"], environ=environ) as client:
        assert all(each.ok for each in client.batch([f"good {n}" for n in range(200)]))
    check_at_once(environ, work, [0] * 10)
    assert [each["type"] for each in receiver.messages()].count("alert.resolved") == 2
    assert len(receiver.messages()) == 4


def check_at_once(environ: dict[str, str], work: Path, codes: list[int]) -> None:
    command = [sys.executable, "-m", "llmctl", "alerts", "check", "-q"]
    running = [
        subprocess.Popen(command, cwd=work, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in codes
    ]
    assert [(process.communicate()[1], process.returncode)[1] for process in running] == codes


def test_a_run_that_breaks_a_rule_tells_of_it(
    failing: None, profile: Write, llmctl: Run, receiver: Receiver
) -> None:
    """After its answer, with its own exit code; the next one is silent."""
    profile(ERRORS + "notify: [env:HOOK]\nnotify_key: env:HOOK_KEY\n")
    own = {"HOOK": receiver.url, "HOOK_KEY": "word"}
    done = llmctl("run", "hello", env=own)
    assert done.returncode == 0
    assert done.stderr.startswith("llmctl: warning: alert: error_rate is 92.3 % (over 10 %), 13 calls")
    (message,) = receiver.messages()
    assert (message["type"], message["data"]["calls"]) == ("alert.firing", 13)
    assert receiver.taken[0].headers["webhook-signature"].startswith("v1,")
    done = llmctl("run", "hello again", env=own)
    assert (done.returncode, done.stderr, len(receiver.taken)) == (0, "", 1)


def test_what_cannot_be_told_harms_nothing(failing: None, profile: Write, llmctl: Run) -> None:
    """The answer, its exit code, one warning that shows no address; nobody hammers what is down."""
    profile(ERRORS + "notify: ['http://127.0.0.1:9/secret-path', env:UNSET]\n")
    done = llmctl("run", "hello", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["text"]
    said = [line for line in done.stderr.splitlines() if "was not told" in line]
    assert len(said) == 2
    assert "env:UNSET" in said[1]
    assert "UNSET is unset" in said[1]
    assert "secret-path" not in done.stderr
    assert llmctl("run", "hello again").stderr == ""
    assert llmctl("alerts", "check").returncode == 10


@pytest.mark.slow
def test_a_batch_checks_while_it_runs(
    profile: Write, llmctl: Run, server: TestServer, receiver: Receiver
) -> None:
    """The message arrives although the batch is not near its end; the batch's exit code stays its own."""
    rules = "alerts: [{metric: error_rate, over: 0.1, min_calls: 5}]\nlimits: {concurrency: 2}\n"
    profile(rules + f"notify: ['{receiver.url}']\n")
    server.script(default="status:400", latency=0.25)
    many = "".join(json.dumps({"prompt": f"slow {n}"}) + "\n" for n in range(70))
    done = llmctl("batch", "-", "-o", "out.jsonl", stdin=many)
    assert done.returncode == 9
    assert "warning: alert: error_rate is 100 %" in done.stderr
    (message,) = receiver.messages()
    assert message["data"]["calls"] < 70


def test_the_library_checks_too(
    failing: None, profile: Write, environ: dict[str, str], work: Path, receiver: Receiver, server: TestServer
) -> None:
    """From a thread of its own; closing the client waits for the last look."""
    profile(ERRORS + f"notify: ['{receiver.url}']\n")
    with Client(str(work / "profiles/watched.yaml"), home=environ["LLMCTL_HOME"], environ=environ) as client:
        assert client.run("hello").text
        assert [each.standing for each in client.alerts()] == ["firing"]
    assert [each["type"] for each in receiver.messages()] == ["alert.firing"]
    assert any("alert: error_rate" in each for each in client.warnings)


def test_the_library_counts_failures(
    profile: Write, environ: dict[str, str], work: Path, receiver: Receiver, server: TestServer
) -> None:
    """A program whose calls all fail is who needs to be told."""
    profile(ERRORS + f"notify: ['{receiver.url}']\n")
    server.script(default="status:400")
    with Client(str(work / "profiles/watched.yaml"), home=environ["LLMCTL_HOME"], environ=environ) as client:
        for n in range(10):
            with pytest.raises(LlmctlError):
                client.run(f"hello {n}")
    assert [each["data"]["calls"] for each in receiver.messages("alert.firing")] == [10]


def test_without_rules_nothing_is_loaded_or_made(
    profile: Write, environ: dict[str, str], llmctl: Run, home: Path, work: Path
) -> None:
    """Alerts that nobody asked for cost nobody anything."""
    profile("")
    assert llmctl("alerts", "check").stdout == "profile watched: no alerts\n"
    assert not home.exists()
    own = {**environ, "LLMCTL_PROFILE": str(work / "profiles/watched.yaml")}
    heavy = {"llmctl.watch", "llmctl.usage.episodes", "llmctl.notify"}
    code = (
        "import sys; from llmctl.cli.app import run; assert run(['run', 'hello']) == 0; "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=work, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert loaded(own, "alerts", "list") == set()


@pytest.mark.parametrize(
    ("rule", "place", "said"),
    [
        ("{metric: error_rte, over: 0.1}", "alerts[0].metric", "did you mean 'error_rate'?"),
        ("{metric: error_rate, over: 10}", "alerts[0].over", "no share"),
        ("{metric: error_rate, over: -1}", "alerts[0].over", "too small"),
        ("{metric: p95_latency, over: .nan}", "alerts[0].over", "finite"),
        ("{metric: p95_latency, over: soon}", "alerts[0].over", "a time is wanted"),
        ("{metric: p95_latency, over: 5, under: 1}", "alerts[0].under", "two rules"),
        ("{metric: p95_latency}", "alerts[0]", "over: …"),
        ("{over: 5}", "alerts[0]", "'metric' is missing"),
        ("{metric: p95_latency, over: 5, windw: 1m}", "alerts[0].windw", "did you mean 'window'?"),
        ("{metric: p95_latency, over: 5, window: 0}", "alerts[0].window", "no time"),
        ("{metric: p95_latency, over: 5, repeat: 0}", "alerts[0].repeat", "without end"),
        ("{metric: p95_latency, over: 5, min_calls: 0}", "alerts[0].min_calls", "too small"),
    ],
)
def test_a_wrong_rule_is_told_with_its_place(
    rule: str, place: str, said: str, profile: Write, work: Path
) -> None:
    """A rule that never fires is worse than none."""
    profile(f"alerts:\n  - {rule}\n")
    with pytest.raises(ProfileError) as found:
        _ = Services({}, name=str(work / "profiles/watched.yaml")).profile
    told = f"{found.value.message} ({found.value.hint})"
    assert f"watched.yaml:5: {place}: " in told
    assert said in told


def test_a_wrong_rule_stops_everything(profile: Write, llmctl: Run, server: TestServer) -> None:
    """Exit 3 before anything is sent."""
    profile("alerts:\n  - {metric: error_rate, over: 10}\n")
    done = llmctl("run", "hello")
    assert (done.returncode, server.log()) == (3, [])
    assert "watched.yaml:5: alerts[0].over: 10 is no share of error_rate" in done.stderr


def test_a_signing_key_in_the_open_is_refused(profile: Write, llmctl: Run) -> None:
    """As every other key; what was written is not repeated."""
    profile("notify_key: word-of-mine\n")
    done = llmctl("alerts", "list")
    assert done.returncode == 3
    assert "watched.yaml:4: notify_key: a key must be a reference" in done.stderr
    assert "word-of-mine" not in done.stderr


def test_addresses_that_nothing_may_go_to(profile: Write, llmctl: Run, server: TestServer) -> None:
    """Exit 3 before anything is sent, with the place where it stands there, and by its reference else."""
    profile(ERRORS + "notify: [env:HOOK, 'http://169.254.169.254/x']\n")
    done = llmctl("run", "hello")
    assert done.returncode == 3
    assert "watched.yaml:6: notify[1]: http://169.254.169.254/x is a cloud's metadata" in done.stderr
    profile(ERRORS + "notify: [env:HOOK]\n")
    for command in (("run", "hello"), ("alerts", "check"), ("batch", "-", "-o", "out.jsonl")):
        done = llmctl(*command, env={"HOOK": "http://169.254.169.254/x"}, stdin="row\n")
        assert done.returncode == 3
        assert "notify: env:HOOK: " in done.stderr
    assert server.log() == []


def test_a_webhook_in_the_open_is_refused(profile: Write, llmctl: Run) -> None:
    """Its path is its password; it is not repeated."""
    for address in ("https://hooks.slack.com/services/T/B/word", "https://me:word@hooks.example.com/"):
        profile(f"notify: '{address}'\n")
        done = llmctl("alerts", "list")
        assert done.returncode == 3
        assert "watched.yaml:4: notify[0]: a secret is written out in the open" in done.stderr
        assert "word" not in done.stderr


def test_a_test_message(profile: Write, llmctl: Run, receiver: Receiver) -> None:
    """So that the first real one is not the first."""
    assert llmctl("alerts", "test").returncode == 3
    profile(f"notify: ['{receiver.url}', 'slack+{receiver.url}']\n")
    done = llmctl("alerts", "test")
    assert (done.returncode, done.stdout) == (0, "told http://127.0.0.1\n" * 2)
    assert receiver.messages()[0]["type"] == "alert.test"
    receiver.statuses = [404]
    done = llmctl("alerts", "test", "--json")
    assert done.returncode == 3
    assert [each["ok"] for each in json.loads(done.stdout)["sent"]] == [False, True]


def test_hostile_names_stay_text(failing: None, profile: Write, llmctl: Run) -> None:
    """In plain tables and in coloured ones."""
    hostile = "<script>[/x][bold] ‮ 🙂"
    profile(f'alerts: [{{metric: error_rate, over: 0.1, name: "{hostile}"}}]\n')
    for env in ({}, {"FORCE_COLOR": "1", "COLUMNS": "200"}):
        done = llmctl("alerts", "list", env=env)
        assert done.returncode == 0
        assert "<script>[/x][bold] \\u202e 🙂" in done.stdout


@pytest.mark.slow
def test_a_run_with_rules_ends_soon(failing: None, profile: Write, llmctl: Run) -> None:
    """A receiver that never answers costs seconds, and only once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        profile(ERRORS + f"notify: ['http://127.0.0.1:{silent.getsockname()[1]}/']\n")
        began = time.monotonic()
        done = llmctl("run", "hello")
        assert (done.returncode, "no answer in time" in done.stderr) == (0, True)
        assert time.monotonic() - began < 30
