"""The embedded model with real parts: the real runtime, real weights, real processes, real kills."""

from __future__ import annotations

import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from llmctl.core.errors import ConfigError, MissingExtra, ProviderTimeout, StorageError
from llmctl.providers import local, local_host
from llmctl.providers.local import Endpoint, ensure, status, stop
from llmctl.providers.local_files import HostFiles, healthy, process_started
from llmctl.providers.weights import find

from ..conftest import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENSURE = """
import asyncio, sys
from pathlib import Path
from llmctl.providers.local import ensure
found = asyncio.run(ensure(Path(sys.argv[1]), Path(sys.argv[2]), idle=float(sys.argv[3])))
print(found.base_url, found.key, flush=True)
"""


@pytest.fixture(scope="module")
def weights() -> Path:
    return find("smollm2", Path("nowhere"))


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("shared")
    yield home
    stop(home)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


@pytest.fixture
def endpoint(weights: Path, shared_home: Path) -> Endpoint:
    return started(weights, shared_home)


def started(weights: Path, home: Path, idle: float = 60, start_timeout: float = 60) -> Endpoint:
    """`ensure`, as a command of its own would call it."""
    import asyncio

    return asyncio.run(ensure(weights, home, idle, start_timeout))


def connect(endpoint: Endpoint, **body: Any) -> http.client.HTTPResponse:
    """Post a chat request; the answer's body is still to be read."""
    address = urlsplit(endpoint.base_url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    request = {"messages": [{"role": "user", "content": "Say hello."}], "temperature": 0, **body}
    headers = {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"}
    connection.request("POST", f"{address.path}/chat/completions", json.dumps(request), headers)
    return connection.getresponse()


def chat(endpoint: Endpoint, **body: Any) -> tuple[int, dict[str, Any]]:
    with connect(endpoint, **body) as response:
        return response.status, json.loads(response.read())


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def state(pid: int) -> str:
    """The process's state letter as ps tells it, empty when there is no such process."""
    asked = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()[:1]


def runs(pid: int) -> bool:
    """Whether the process still runs: one that only waits to be reaped does not."""
    return state(pid) not in ("", "Z")


def hosts(home: Path) -> list[int]:
    """Ids of all processes whose command line names this home's folder."""
    listed = subprocess.run(["ps", "-Aww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    mine = [line.split(None, 1) for line in listed.stdout.split("\n") if f"{home.absolute()}/local " in line]
    return [int(pid) for pid, args in mine if "local_host" in args]


def test_an_answer_says_what_it_used(endpoint: Endpoint) -> None:
    """Ledger and usage report count the embedded model's tokens like any other's."""
    code, answer = chat(endpoint, max_tokens=8)
    assert code == 200
    assert answer["choices"][0]["message"]["content"].strip()
    usage = answer["usage"]
    assert 0 < usage["completion_tokens"] <= 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert "/" not in answer["model"], "a path of the user's disk must not travel in answers"


def test_streaming_comes_in_pieces_and_ends_with_usage(endpoint: Endpoint) -> None:
    """`--stream` shows text as it is made, and its cost is known all the same."""
    with connect(endpoint, max_tokens=8, stream=True, stream_options={"include_usage": True}) as response:
        assert response.status == 200
        events = [line[6:] for line in response.read().decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    texts = [c["choices"][0]["delta"].get("content") for c in chunks if c["choices"]]
    assert sum(bool(text) for text in texts) > 2
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_a_json_schema_binds_the_answer(endpoint: Endpoint) -> None:
    """A model this small only keeps to a schema because the server's grammar forces it to."""
    fields = {"name": {"type": "string", "maxLength": 12}, "colour": {"enum": ["red", "green"]}}
    schema = {
        "type": "object",
        "properties": fields,
        "required": ["name", "colour"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "thing", "strict": True, "schema": schema}}
    code, answer = chat(endpoint, max_tokens=80, response_format=wanted)
    assert code == 200
    found = json.loads(answer["choices"][0]["message"]["content"])
    assert set(found) == {"name", "colour"}
    assert found["colour"] in ("red", "green")


def test_too_long_a_prompt_is_refused_at_once(endpoint: Endpoint) -> None:
    """An overflow is the caller's to mend: a clear 400, not a cut prompt or a server that dies."""
    code, answer = chat(endpoint, messages=[{"role": "user", "content": "word " * (local_host.CONTEXT + 1)}])
    assert code == 400
    assert answer["error"]["type"] == "exceed_context_size_error"
    assert answer["error"]["n_ctx"] == local_host.CONTEXT


def test_eight_at_once_are_all_answered(endpoint: Endpoint) -> None:
    """A batch may have more in flight than the server has slots: the rest waits its turn."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: chat(endpoint, max_tokens=5), range(8)))
    assert [code for code, _ in answers] == [200] * 8


def test_without_the_key_there_is_no_answer(endpoint: Endpoint) -> None:
    """Other users of the machine reach the loopback port too, and web pages in a browser."""
    code, _ = chat(Endpoint(endpoint.base_url, "guess"))
    assert code == 401


def test_a_second_call_finds_the_first_ones_host(
    weights: Path, shared_home: Path, endpoint: Endpoint
) -> None:
    """Loading is paid once, and `doctor` can show who serves."""
    assert started(weights, shared_home) == endpoint
    [host] = status(shared_home)
    assert host.healthy
    assert host.weights == str(weights.resolve())
    assert [host.pid] == hosts(shared_home)


def test_only_this_user_can_read_the_key(weights: Path, shared_home: Path, endpoint: Endpoint) -> None:
    """The key is worth what it protects: not in a readable file, in `ps`, or in a printed object."""
    files = HostFiles.of(shared_home, weights)
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files.folder.iterdir()} == {0o600}
    listed = subprocess.run(["ps", "-Aww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert "local_host" in listed
    assert endpoint.key not in listed
    assert endpoint.key not in repr(endpoint)
    assert endpoint.key not in repr(files.living())


def test_a_host_takes_nothing_of_its_starter_along(weights: Path, home: Path, tmp_path: Path) -> None:
    """It outlives the command: a kept pipe would hang `llmctl … | cat`, a kept key would leak, and a
    module in the current folder must not run in it."""
    (tmp_path / "xllamacpp.py").write_text("raise SystemExit('not me')")
    environment = {**os.environ, "OPENAI_API_KEY": "sk-" + "x" * 20}
    command = [sys.executable, "-P", "-c", ENSURE, str(weights), str(home), "60"]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 50, "the pipes were only closed when the host left"
    [pid] = hosts(home)
    assert os.getsid(pid) != os.getsid(0)
    if sys.platform == "linux":
        assert b"x" * 20 not in Path(f"/proc/{pid}/environ").read_bytes()


def test_ten_processes_at_once_start_one_host(weights: Path, home: Path) -> None:
    """`xargs -P10 llmctl run` from cold must not load the model ten times."""
    command = [sys.executable, "-c", ENSURE, str(weights), str(home), "60"]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    found = {racer.communicate(timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 10
    assert len(found) == 1
    assert len(hosts(home)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_a_profile_says_how_many_threads_compute(weights: Path, home: Path, llmctl: Run, work: Path) -> None:
    """A batch job takes more, a laptop fewer; who asks for another number changes nobody else's server."""
    for threads in (1, 4):
        (work / "x.yaml").write_text(f"extends: local\nlocal: {{threads: {threads}}}\n")
        for _ in range(2):
            done = llmctl("run", "-p", "./x.yaml", "--no-cache", "-O", "max_tokens=2", "hi")
            assert done.returncode == 0, done.stderr
    started(weights, home)  # who asks for no number
    asked = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2] for pid in hosts(home)}
    counts = {asked[pid]: len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in asked}
    assert sorted(asked.values()) == [b"0", b"1", b"4"]
    assert counts[b"4"] - counts[b"1"] == 3


def test_a_killed_host_is_replaced(weights: Path, home: Path) -> None:
    """Its endpoint file stays behind, and must not send anyone to a port that is dead or another's."""
    first = started(weights, home)
    [before] = hosts(home)
    os.kill(before, signal.SIGKILL)
    assert until(lambda: status(home) == [])
    second = started(weights, home)
    assert second.key != first.key
    assert chat(second, max_tokens=2)[0] == 200
    assert len(hosts(home)) == 1


def test_a_host_that_hangs_is_replaced(weights: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live process that answers nothing would otherwise block every later call."""
    started(weights, home)
    [before] = hosts(home)
    monkeypatch.setattr(local, "healthy", functools.partial(healthy, timeout=0.5))
    monkeypatch.setattr(local, "GRACE", 1.0)
    os.kill(before, signal.SIGSTOP)
    assert until(lambda: state(before) == "T")
    second = started(weights, home)
    assert chat(second, max_tokens=2)[0] == 200
    assert until(lambda: not runs(before))


def test_a_host_leaves_when_idle_but_not_while_it_works(weights: Path, home: Path) -> None:
    """Memory comes back by itself, yet an answer that takes longer than the idle time is finished."""
    endpoint = started(weights, home, idle=0.5)
    [pid] = hosts(home)
    code, answer = chat(endpoint, max_tokens=120, ignore_eos=True)
    assert code == 200
    assert answer["usage"]["completion_tokens"] == 120
    assert until(lambda: not runs(pid))
    assert list((home / "local").iterdir()) == []


def test_a_killed_client_leaves_nothing_for_long(weights: Path, home: Path) -> None:
    """After kill -9 in the middle of a stream the host ends its work, waits its idle time, and goes."""
    stream = ENSURE + (
        "import http.client, json\n"
        "c = http.client.HTTPConnection(found.base_url.split('/')[2])\n"
        "b = {'messages': [{'role': 'user', 'content': 'Count.'}], 'stream': True, 'ignore_eos': True}\n"
        "c.request('POST', '/v1/chat/completions', json.dumps(b), {'Authorization': 'Bearer ' + found.key})\n"
        "r = c.getresponse()\n"
        "while True: print(r.read1(), flush=True)\n"
    )
    command = [sys.executable, "-c", stream, str(weights), str(home), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout
        client.stdout.readline()
        assert b"data: " in client.stdout.readline()
        [pid] = hosts(home)
        client.kill()
    assert runs(pid)
    assert until(lambda: not runs(pid))
    assert list((home / "local").iterdir()) == []


def test_a_starter_killed_while_loading_leaves_one_host(weights: Path, home: Path) -> None:
    """The host itself holds the lock it was started under, so the next command waits for it."""
    command = [sys.executable, "-c", ENSURE, str(weights), str(home), "60"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as starter:
        assert until(lambda: bool(hosts(home)))
        starter.kill()
    started(weights, home)
    assert len(hosts(home)) == 1


def test_impatience_is_told_and_stop_ends_a_loading_host(weights: Path, home: Path) -> None:
    """A big file may take longer than one command waits; it can still be ended."""
    with pytest.raises(ProviderTimeout, match=r"not ready after 0\.01 s"):
        started(weights, home, start_timeout=0.01)
    assert until(lambda: bool(hosts(home)))
    [pid] = hosts(home)
    assert stop(home) == 1
    assert until(lambda: not runs(pid))
    assert stop(home) == 0


def test_a_cancelled_wait_ends_at_once(weights: Path, home: Path) -> None:
    """Ctrl-C while the model loads must not wait for it."""
    import asyncio

    async def cancelled() -> None:
        async with asyncio.timeout(0.2):
            await ensure(weights, home)

    began = time.process_time()
    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert time.process_time() - began < 5
    assert started(weights, home).key


def test_newer_weights_end_the_host_of_the_old_ones(weights: Path, home: Path, tmp_path: Path) -> None:
    """Answers must come from the file as it is now, and the old copy's memory must not linger."""
    mine = Path(shutil.copy(weights, tmp_path / "mine.gguf"))
    first = started(mine, home)
    [before] = hosts(home)
    os.utime(mine, (1_000_000_000, 1_000_000_000))
    assert started(mine, home).key != first.key
    assert until(lambda: not runs(before))
    assert len(status(home)) == 1


def test_a_removed_home_ends_its_host(weights: Path, home: Path) -> None:
    """`rm -r` of the data folder, or a temporary home in CI, leaves no process behind."""
    started(weights, home)
    [pid] = hosts(home)
    shutil.rmtree(home)
    assert until(lambda: not runs(pid))


@pytest.mark.parametrize("content", [b"GGUF" + bytes(range(256)) * 8, b"GGUF"])
def test_weights_that_are_no_model_are_named(home: Path, tmp_path: Path, content: bytes) -> None:
    """The runtime's own first error is the useful one, and it must come through at once."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot load .*bad\.gguf: \w+") as caught:
        started(bad, home)
    assert caught.value.hint
    assert hosts(home) == []


def test_half_a_file_of_weights_is_named(weights: Path, home: Path, tmp_path: Path) -> None:
    """An interrupted copy has the right beginning, so only loading shows it."""
    half = tmp_path / "half.gguf"
    with weights.open("rb") as source:
        half.write_bytes(source.read(3_000_000))
    with pytest.raises(ConfigError, match="corrupted or incomplete"):
        started(half, home)


def test_missing_weights_and_an_unusable_home_are_named(weights: Path, tmp_path: Path) -> None:
    """Both are the user's to mend, so the line says which file it is about."""
    with pytest.raises(ConfigError, match=r"gone\.gguf"):
        started(tmp_path / "gone.gguf", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/local"):
        started(weights, tmp_path / "file")


def test_a_missing_runtime_names_the_extra(weights: Path, home: Path) -> None:
    """The runtime is optional: who installed without it is told the one command that brings it."""
    script = (
        "import sys; sys.path.append(sys.argv.pop(1))\n"
        "from llmctl.core.errors import MissingExtra\n"
        f"try:\n{''.join(f'  {line}' for line in ENSURE.splitlines(keepends=True))}"
        "except MissingExtra as error: print(error.exit_code, error.hint)\n"
    )
    root = str(Path(local.__file__).parents[2])
    # -S leaves all installed packages out: a real interpreter without the runtime.
    command = [sys.executable, "-I", "-S", "-c", script, root, str(weights), str(home), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{MissingExtra.exit_code} pip install 'llmctl[local]'\n", done.stderr


def test_threads_leave_a_core_free() -> None:
    """Where the model's threads share every core, all of them crawl."""
    assert 1 <= local_host.threads() <= max(1, (os.cpu_count() or 1) - 1)


def test_waiting_requests_count_as_activity() -> None:
    """A host with a queue is not idle, though no counter moves during one long prompt."""
    text = (
        "# HELP x\nllamacpp:requests_processing 0\nllamacpp:requests_deferred {}\nllamacpp:n_decode_total 5"
    )
    assert local_host.activity(text.format(0)) == (False, ("5",))
    assert local_host.activity(text.format(3)) == (True, ("5",))


def test_a_process_is_known_by_when_it_began() -> None:
    """A process id may be given again: nobody else's process is ever ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        began = process_started(other.pid)
        assert began
        assert began == process_started(other.pid)
        assert not local._end(other.pid, "another time", lambda: other.poll() is not None)
        assert other.poll() is None
    assert process_started(other.pid) == ""
