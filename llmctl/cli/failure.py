"""Every way a command can end badly, told in one line and one exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from llmctl.core.errors import ConfigError, LlmctlError, StorageError, UsageError
from llmctl.core.hidden import mask

YES = ("1", "true", "t", "yes", "y", "on")
"""What typer takes for a yes in a variable."""
TYPER_ERRORS = ("ClickException", "UsageError", "BadParameter", "NoSuchOption", "MissingParameter")


def guarded(command: Callable[[], Any], args: list[str]) -> int:
    """The exit code of `command`. Interrupts, closed pipes, full devices and bugs included."""
    os.umask(0o077)  # whatever we write, and whatever a library does, is its owner's alone
    _speak_utf8()
    _die_politely()
    _hush()
    try:
        code = command()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except LlmctlError as error:
        return tell(error, args)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except SystemExit as exit:
        if isinstance(exit.__context__, BrokenPipeError):  # click makes an exit of 1 of it
            _forget_stdout()
            return 0
        return exit.code if isinstance(exit.code, int) else 1
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            told = f"{str(error.filename)[:60]}…: {error.strerror}"
            return tell(ConfigError(told, hint="choose a shorter one"), args)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF):
            return _bug(error, args)
        _forget_stdout()
        return tell(
            StorageError(f"cannot write: {error.strerror}", hint="make room, then run it again"), args
        )
    except Exception as error:  # noqa: BLE001  # a bug: whatever it is, a log and exit code 1
        if type(error).__name__ == "NoArgsIsHelpError":  # `llmctl`, `llmctl prompt`: the page is the answer
            _line(error.format_message())  # type: ignore[attr-defined]  # a ClickException
            return UsageError.exit_code
        if type(error).__name__ == "Abort":  # typer's: a question was answered by Ctrl-C or Ctrl-D
            return _say("interrupted", 130)
        if usage := _as_usage(error):
            return tell(usage, args)
        return _bug(error, args)


def tell(error: LlmctlError, args: list[str]) -> int:
    """One line on stderr, or one JSON object on stdout; a traceback only with --debug."""
    if wants("--debug", "debug", args):
        _traceback(error)
    _clean(error)
    try:
        if wants("--json", "json", args):
            from llmctl.formats.envelope import write_json

            write_json({"error": error.envelope()})
        else:
            sys.stdout.flush()
            hint = f" ({error.hint})" if error.hint else ""
            _line(f"llmctl: {one_line(error.message)}{one_line(hint)}")
        sys.stdout.flush()
    except OSError:
        _forget_stdout()
    return error.exit_code


def _clean(error: LlmctlError) -> None:
    """Into the log goes what kind of end it was; out of the message goes what the profile redacts."""
    session = sys.modules.get("llmctl.cli.session")
    if session is None:
        return
    session.ended({"error": error.type, "exit_code": error.exit_code, "http_status": error.status})
    error.message, error.hint = session.cleaned(error.message), session.cleaned(error.hint)


def wants(flag: str, name: str, args: list[str]) -> bool:
    """Whether a global flag is set, also where the command line could not be read."""
    return flag in args or os.environ.get(f"LLMCTL_{name.upper()}", "").lower() in YES


def one_line(text: str) -> str:
    """No line breaks, no control codes: an error is one line, whatever a file's name or a server says."""
    return "".join(char if char.isprintable() else " " for char in text)


def _as_usage(error: Exception) -> UsageError | None:
    """typer's own errors of the command line, in our words."""
    for kind in type(error).__mro__:
        if kind.__name__ in TYPER_ERRORS and kind.__module__.startswith(("typer", "click")):
            message: str = error.format_message()  # type: ignore[attr-defined]  # a ClickException
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "llmctl"
            if message.startswith("Got unexpected extra argument"):  # a prompt, or a key: not repeated
                message = "more arguments than expected: quote a text of several words"
            return UsageError(message.rstrip("."), hint=f"see {path} --help")
    return None


def _bug(error: BaseException, args: list[str]) -> int:
    from llmctl.cli.crash import write_log

    if wants("--debug", "debug", args):
        _traceback(error)
    where = write_log(error, args)
    problem = LlmctlError(
        f"a bug in llmctl: {type(error).__name__}",
        hint=f"the log is {where}; please report it" if where else "",
    )
    return tell(problem, [arg for arg in args if arg != "--debug"])


def _traceback(error: BaseException) -> None:
    import traceback

    _line(scrubbed("".join(traceback.format_exception(error)).rstrip()))


def scrubbed(text: str) -> str:
    """A traceback without what people keep to themselves: foreign errors quote what they were given."""
    from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
    from llmctl.privacy.redact import Redactor

    return Redactor(PrivacyRule(redact=PRIVACY_KINDS, max_chars=0)).redact(text)


def _line(text: str) -> None:
    try:
        sys.stderr.write(mask(text) + "\n")
        sys.stderr.flush()
    except OSError:
        return


def _say(text: str, code: int) -> int:
    _line(f"llmctl: {text}")
    return code


def _hush() -> None:
    """What Python itself prints of threads and destructors that failed: kind and place, no values."""

    def told(failed: Any) -> None:
        frames = traceback_places(failed.exc_traceback)
        _line(f"llmctl: ended badly: {failed.exc_type.__name__}{f' at {frames[-1]}' if frames else ''}")

    import threading

    threading.excepthook = told
    sys.unraisablehook = lambda failed: None


def traceback_places(trace: Any) -> list[str]:
    """`file:line in function` of each frame; no source, no values."""
    import traceback

    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)]


def _speak_utf8() -> None:
    """UTF-8 out whatever the locale; what cannot be encoded is written out, never a crash."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError):  # it flushes first, and the device may be full
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _die_politely() -> None:
    """SIGTERM and SIGHUP unwind like an exception, so that the ledger learns of the end."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return

    def leave(signum: int, frame: object) -> None:
        raise SystemExit(128 + signum)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, leave)


def _forget_stdout() -> None:
    """Nothing more can be written there, and the interpreter must not try at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return
