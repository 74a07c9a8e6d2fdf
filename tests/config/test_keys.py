"""Keys come by reference, and no error ever shows one."""

import os
import sys
from pathlib import Path

import pytest

from llmctl.config import keys
from llmctl.config.keys import describe, resolve
from llmctl.core.errors import AuthError, ConfigError, LlmctlError

KEY = "made-up-" + "k3y" * 6
HOME = {"PATH": os.environ["PATH"]}


def keep(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return f"file:{path}"


def command(code: str) -> str:
    return f"cmd:{sys.executable} -c '{code}'"


def test_environment() -> None:
    """The usual place of a key."""
    assert resolve("env:A_KEY", {"A_KEY": KEY}) == KEY


@pytest.mark.parametrize("environ", [{}, {"A_KEY": ""}, {"A_KEY": "  "}])
def test_a_missing_key_names_its_reference(environ: dict[str, str]) -> None:
    """The user must read which variable to set, and exit code 4 says that it is the key."""
    with pytest.raises(AuthError, match="A_KEY") as caught:
        resolve("env:A_KEY", environ)
    assert caught.value.exit_code == 4 and "export A_KEY" in caught.value.hint


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_file(tmp_path: Path, ending: str) -> None:
    """Editors end a file with a line end that is no part of the key."""
    assert resolve(keep(tmp_path / "key", KEY + ending), {}) == KEY


def test_file_under_home(tmp_path: Path) -> None:
    """`~` is the home of the environment that was handed in, not of the process."""
    keep(tmp_path / "key", KEY)
    assert resolve("file:~/key", {"HOME": str(tmp_path)}) == KEY


def test_file_behind_a_link(tmp_path: Path) -> None:
    """Secret mounts are symbolic links; the file's own mode decides."""
    keep(tmp_path / "key", KEY)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert resolve(f"file:{tmp_path / 'link'}", {}) == KEY
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="0640"):
        resolve(f"file:{tmp_path / 'link'}", {})


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others can read is a key that others have."""
    with pytest.raises(ConfigError, match="open to others") as caught:
        resolve(keep(tmp_path / "key", KEY, mode), {})
    assert "chmod 600" in caught.value.hint and caught.value.exit_code == 3


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe without a writer must not hang the program."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(ConfigError, match="not a file"):
            resolve(f"file:{tmp_path / name}", {})
    with pytest.raises(AuthError, match="does not exist"):
        resolve(f"file:{tmp_path / 'none'}", {})
    with pytest.raises(ConfigError, match="more than"):
        resolve(keep(tmp_path / "big", "k" * (keys.MAX_BYTES + 1)), {})


def test_command(tmp_path: Path) -> None:
    """Password managers print a key."""
    assert resolve(command(f'print("{KEY}")'), HOME) == KEY


def test_no_shell_reads_a_command() -> None:
    """`;` and `$` are words, not syntax: a profile is not a script."""
    assert resolve(f"cmd:{sys.executable} -c 'import sys; print(sys.argv[1])' $HOME;x", HOME) == "$HOME;x"


def test_a_failing_command_is_not_quoted() -> None:
    """What a command writes may hold the key: neither of its outputs is shown."""
    code = f'import sys; print("{KEY}"); print("{KEY}", file=sys.stderr); sys.exit(3)'
    reference = f"cmd:{sys.executable} -c 'exec(open(0).read())'"
    with pytest.raises(AuthError, match="unset or empty"):
        resolve(reference, HOME)
    with pytest.raises(AuthError, match="exit code 3"):
        resolve(command(code), HOME)


def test_a_command_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that asks for a password would wait for ever in CI."""
    monkeypatch.setattr(keys, "SECONDS", 0.2)
    with pytest.raises(AuthError, match=r"within 0\.2 s"):
        resolve(command("import time; time.sleep(30)"), HOME)


def test_a_command_without_end_is_cut_off() -> None:
    """`yes` must fill neither memory nor disk."""
    endless = 'while True: print("k" * 4096)'
    with pytest.raises(ConfigError, match="more than"):
        resolve(command(endless), HOME)


@pytest.mark.parametrize(
    "reference", ["cmd:no-such-program-here", "cmd:'open", "cmd: ", "sk-what", "file:", "keyring:x", ""]
)
def test_wrong_references(reference: str) -> None:
    """What cannot work is a fault of the configuration; a key written out is not repeated."""
    with pytest.raises(ConfigError) as caught:
        resolve(reference, HOME)
    assert "sk-what" not in caught.value.message


@pytest.mark.parametrize("inside", ["\n", "\r", "\t", "\x00", "\x7f", "é", " ", "\u200b"])
def test_a_key_with_strange_signs_is_refused_unseen(tmp_path: Path, inside: str) -> None:
    """A line end in a key is a header injection, and a copied blank a 401; the key stays unshown."""
    bad = KEY[:9] + inside + KEY[9:]
    for reference, environ in (("env:A_KEY", {"A_KEY": bad}), (keep(tmp_path / "key", bad), {})):
        with pytest.raises(ConfigError) as caught:
            resolve(reference, environ)
        shown = repr(caught.value) + caught.value.hint + str(caught.value.envelope())
        assert KEY[:9] not in shown and KEY[9:] not in shown and caught.value.exit_code == 3


def test_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's keyring, here one in memory; a locked one says so."""
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend
    from keyring.errors import KeyringLocked

    class Memory(KeyringBackend):
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            if service == "locked":
                raise KeyringLocked(KEY)
            return KEY if (service, username) == ("llmctl", "openai") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())  # type: ignore[no-untyped-call]
    try:
        assert resolve("keyring:llmctl/openai", {}) == KEY
        with pytest.raises(AuthError, match="unset or empty"):
            resolve("keyring:llmctl/none", {})
        with pytest.raises(ConfigError, match="locked") as caught:
            resolve("keyring:locked/x", {})
        assert KEY not in str(caught.value)
    finally:
        keyring.set_keyring(before)


def test_descriptions_hold_the_reference_alone() -> None:
    """`keys status` prints them."""
    assert describe("env:A_KEY") == "environment variable A_KEY"
    assert describe("file:/x/key") == "file /x/key"
    assert describe("cmd:pass show x") == "output of the command pass show x"
    assert describe("keyring:llmctl/openai") == "openai of llmctl in the system's keyring"
    assert KEY not in describe(KEY)


def test_errors_chain_nothing() -> None:
    """A traceback prints chained errors: none may hold a value from the system."""
    with pytest.raises(LlmctlError) as caught:
        resolve("file:/no/such/place", {})
    assert caught.value.__suppress_context__
