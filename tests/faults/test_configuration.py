"""What a profile, a template, a folder or an address may do to us: nothing (faults 91-94, 97, 99, 100)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.server.client import TestServer

MODEL = "models: {main: openai/gpt-4o-mini}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
PROFILES = {
    "bomb": (BOMB, "aliases multiply"),
    "recursive alias": ("models: &a {main: *a}\n", "an alias to itself"),
    "tag that runs": ('models: !!python/object/apply:os.system ["touch ran"]\n', "not allowed"),
    "tag that imports": (MODEL + "description: !!python/name:os.system\n", "x.yaml:2: the tag"),
    "tag that does not fit": (MODEL + "cache: !!bool maybe\n", "x.yaml:2: 'maybe' is no !!bool"),
    "number of many bits": (MODEL + f"params: {{seed: {10**30}}}\n", "x.yaml:2: a whole number of more"),
    "header of a map": (MODEL + "providers: {openai: {headers: {X-A: {}}}}\n", "X-A: a text is wanted"),
    "header of a number": (MODEL + "providers: {openai: {headers: {X-A: 1}}}\n", "X-A: a text is wanted"),
    "header of two lines": (MODEL + 'providers: {openai: {headers: {X: "a\\nb"}}}\n', "a text is wanted"),
    "header of each request": (MODEL + "providers: {openai: {headers: {connection: x}}}\n", "leave it out"),
    "login in an address": (
        MODEL + "providers: {openai: {api_base: 'http://bob:pw@127.0.0.1:1/v1'}}\n",
        "a header by reference",
    ),
    "header without a name": (MODEL + 'providers: {openai: {headers: {"": x}}}\n', "no name of a header"),
    "count beyond counting": (
        MODEL + "alerts: [{metric: error_rate, over: 0.5, min_calls: 1e300}]\n",
        "min_calls: 1e+300 is too large",
    ),
    "time without end": (
        MODEL + "alerts: [{metric: error_rate, over: 0.5, window: 999999999w}]\n",
        "window: 999999999w is too long",
    ),
    "tag of nothing": (MODEL + 'retry: !!int ""\n', "x.yaml:2: '' is no !!int"),
    "path that is none": (MODEL + 'extends: "a\\0/b.yaml"\n', "the name of one profile"),
    "name of nobody": (MODEL + 'extends: "~nobody.is.it/b.yaml"\n', "No such file"),
    "name too long": (MODEL + f"extends: {'x' * 300}\n", "File name too long"),
    "deep": (MODEL + f"params: {{a: {'[' * 5000}{']' * 5000}}}\n", "nest"),
    "large": (MODEL + f"description: {'x' * 1_000_001}\n", "larger than 1,000,000 bytes"),
    "double key": (MODEL + "cache: true\n'cache': false\n", "x.yaml:3: the key 'cache' stands here again"),
    "double key inside": ("models:\n  main: openai/a\n  main: openai/b\n", "x.yaml:3: the key 'main'"),
    "circle": ("extends: y\n", "x -> y -> x"),
    "itself": ("extends: ./x.yaml\n", "x -> x"),
    "unknown key": (MODEL + "retrys: 3\n", "x.yaml:2: retrys: unknown key (did you mean 'retry'?)"),
    "unknown key inside": (
        MODEL + "privacy: {redactt: []}\n",
        "privacy.redactt: unknown key (did you mean 'redact'?)",
    ),
}
ESCAPES = {
    "undefined": ("{{ nothing }}", "nothing"),
    "attribute": ("{{ content.__class__.__mro__ }}", ""),
    "filter attribute": ("{{ content | attr('__class__') }}", ""),
    "globals": ("{{ cycler.__init__.__globals__.os.popen('touch ran').read() }}", ""),
    "format": ("{{ '{0.__class__}'.format(content) }}", ""),
    "times": ("{{ 'a' * 10**9 }}", ""),
    "times nested": ("{% set a = 'a' * 9999 %}{% set b = a * 9999 %}{{ b * 9999 }}", ""),
    "power": ("{{ 9 ** (9 ** 9) }}", ""),
    "range": ("{% for a in range(10**9) %}x{% endfor %}", ""),
    "loops": ("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", ""),
    "filter": ("{{ 'x' | center(10**9) }}", ""),
    "format width": ("{{ '%1000000000d' | format(1) }}", ""),
    "join": ("{{ (['x' * 999] * 99999) | join('y' * 999) }}", ""),
    "replace": ("{{ ('x' * 9999) | replace('x', 'y' * 99999) }}", ""),
    "include": ("{% include '/etc/hostname' %}", ""),
    "import": ("{% import 'os' as os %}", ""),
    "macro": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", ""),
}
ADDRESSES = (
    "http://169.254.169.254/v1",
    "https://169.254.169.254./v1",
    "https://2852039166/v1",
    "https://0xa9.0xfe.0xa9.0xfe/v1",
    "https://[::ffff:a9fe:a9fe]/v1",
    "https://[fd00:ec2::254]/v1",
    "https://metadata.google.internal/v1",
    "http://8.8.8.8/v1",
    "http://models.example.com/v1",
    "http://127.0.0.1:99999/v1",
)


def one_line(err: str) -> str:
    """The error, which is one line and no traceback."""
    assert len(err.splitlines()) == 1 and "Traceback" not in err and err.startswith("llmctl: ")
    return err


def write(work: Path, name: str, text: str) -> None:
    path = work / "profiles" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("case", PROFILES)
def test_hostile_profiles_are_refused(llmctl: Run, work: Path, server: TestServer, case: str) -> None:
    """91-94: a profile comes with a cloned folder; it must neither run, nor hang, nor be half understood."""
    text, said = PROFILES[case]
    write(work, "x", text)
    write(work, "y", "extends: x\n")
    done = llmctl("-p", "x", "run", "hi", timeout=20)
    assert done.returncode == 3 and said in one_line(done.stderr)
    assert not (work / "ran").exists() and server.log() == []


@pytest.mark.parametrize("case", ESCAPES)
def test_templates_cannot_break_out(llmctl: Run, work: Path, server: TestServer, case: str) -> None:
    """97: a template is a text of somebody else's; no way out of it, no memory and no time eaten up."""
    body, said = ESCAPES[case]
    (work / "prompts").mkdir()
    (work / "prompts" / "t.md").write_text(f"{body} {{{{ content }}}}\n")
    done = llmctl("-p", "dev", "run", "-t", "t", "-V", "content=x", timeout=20)
    assert done.returncode == 3 and said in one_line(done.stderr)
    assert not (work / "ran").exists() and server.log() == []


def test_a_home_whose_name_is_no_utf8(environ: dict[str, str], work: Path) -> None:
    """101: JSON output writes out what cannot be encoded, and so does the report of a bug."""
    home = work / "caf\udce9"
    home.mkdir()
    environ = {name: value for name, value in environ.items() if name != "LLMCTL_HOME"} | {"HOME": str(home)}
    for command in (["profile", "path"], ["cache", "stats"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "llmctl", "-p", "dev", *command, "--json"],
            cwd=work, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) and r"caf\udce9" in done.stdout


def test_a_hostile_env_file_is_not_read(
    llmctl: Run, work: Path, server: TestServer, other_server: TestServer
) -> None:
    """99: a `.env` in the folder or above it must not send the key elsewhere."""
    for folder in (work, work.parent):
        (folder / ".env").write_text(
            f"OPENAI_BASE_URL={other_server.openai}\nOPENAI_API_BASE={other_server.openai}\n"
            f"ANTHROPIC_BASE_URL={other_server.anthropic}\nLLMCTL_PROFILE=prod\nHTTPS_PROXY={other_server.url}\n"
        )
    for model in ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"):
        done = llmctl("-p", "dev", "run", "-m", model, "hi")
        assert done.returncode == 0, done.stderr
    assert other_server.log() == [] and len(server.log()) == 2


@pytest.mark.parametrize("address", ADDRESSES)
def test_forbidden_addresses_are_refused_where_they_are_written(
    llmctl: Run, work: Path, address: str
) -> None:
    """100: no request goes to a metadata service, and none in the open beyond this machine."""
    write(work, "x", f"models:\n  main:\n    model: openai/gpt-4o-mini\n    api_base: {address}\n")
    for command in (("run", "hi"), ("profile", "check", "x")):
        done = llmctl("-p", "x", *command)
        assert done.returncode == 3
        assert "x.yaml:4: models.main.api_base" in done.stdout + done.stderr
    done = llmctl("-p", "dev", "run", "hi", env={"OPENAI_BASE_URL": address})
    assert done.returncode == 3 and one_line(done.stderr)


def test_a_metadata_address_of_the_environment_stops_a_batch(llmctl: Run, work: Path) -> None:
    """100: every row would fail alike, so none is tried."""
    write(work, "x", "models: {main: {model: openai/gpt-4o-mini}}\n")
    (work / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    env = {"OPENAI_BASE_URL": "https://0xa9fea9fe/v1"}
    done = llmctl("-p", "x", "batch", "in.jsonl", "-o", "out.jsonl", env=env)
    assert done.returncode == 3 and "metadata" in done.stderr


def test_names_are_judged_by_where_they_lead(environ: dict[str, str], work: Path) -> None:
    """100: a name leads where its owner wants, so it is looked at whenever it is resolved."""
    hosts = work / "hosts"
    known = Path("/etc/hosts").read_text()
    hosts.write_text(f"{known}\n169.254.169.254 innocent.corp\n10.1.2.3 box\n127.0.0.1 mine\n")
    private = ["unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "-"]
    if not shutil.which("unshare") or subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("no names of one's own without a mount namespace (needs root)")

    def run(base: str, *args: str) -> subprocess.CompletedProcess[str]:
        command = [*private, sys.executable, "-m", "llmctl", "-p", "dev", *args]
        env = {**environ, "OPENAI_BASE_URL": base}
        return subprocess.run(
            command, cwd=work, env=env, capture_output=True, text=True, timeout=60, check=False
        )

    (work / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    for args in (("run", "hi"), ("batch", "in.jsonl", "-o", "out.jsonl")):
        done = run("https://innocent.corp/v1", *args)
        assert done.returncode == 3 and "innocent.corp leads to a cloud's metadata address" in done.stderr
    assert "metadata" in run("https://innocent.corp/v1", "doctor").stdout
    done = run("http://box:8000/v1", "run", "hi")
    assert done.returncode == 3 and "plain_http: [box]" in one_line(done.stderr)
    mine = run(environ["OPENAI_BASE_URL"].replace("127.0.0.1", "mine"), "run", "hi")
    assert mine.returncode == 0, mine.stderr


def test_doctor_tells_of_a_name_that_no_server_can_have(llmctl: Run) -> None:
    """It looks at what is broken, so that nothing broken may break it."""
    done = llmctl("-p", "dev", "doctor", env={"OPENAI_BASE_URL": f"https://{'a' * 70}.openai.com/v1"})
    assert done.returncode == 3 and "cannot be reached: no name of a server" in done.stdout


def test_a_key_goes_to_its_provider_alone(llmctl: Run, work: Path, server: TestServer) -> None:
    """100: OPENAI_API_KEY is not for whoever a profile names, unless the profile says just that."""
    elsewhere = "models:\n  main: {model: openai/gpt-4o-mini, api_base: 'https://models.invalid/v1'%s}\n"
    write(work, "x", elsewhere % "")
    done = llmctl("-p", "x", "run", "hi")
    assert done.returncode == 3
    assert (
        "env:OPENAI_API_KEY is the key of openai" in one_line(done.stderr)
        and "keys: [env:OPENAI_API_KEY]" in done.stderr
    )
    write(work, "x", elsewhere % ", keys: [env:OPENAI_API_KEY]")
    assert llmctl("-p", "x", "run", "hi").returncode == 5  # asked, and not found
    for option in ("api_base=https://models.invalid/v1", "base_url=https://models.invalid/v1", "api_key=x"):
        refused = llmctl("-p", "dev", "run", "-O", option, "hi")
        assert refused.returncode in (2, 3), refused.stderr
    assert server.log() == []
