"""The command's door: `llmctl` and `python -m llmctl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    # Start-up time is a promise that a container's PYTHONDONTWRITEBYTECODE must not break.
    sys.dont_write_bytecode = False
    spare_collector()
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        stand_in()
    if sys.argv[1:] == ["--version"]:
        from llmctl import __version__

        sys.stdout.write(f"llmctl {__version__}\n")
        leave(0)
    from llmctl.cli.app import run

    leave(run(sys.argv[1:]))


def stand_in() -> None:
    """Started with a stream closed: its number must not become a file's, where messages would end.

    What should go to a closed stdout fails there, as it should; a closed stderr swallows.
    """
    import os

    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)  # takes the lowest that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  # for as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def spare_collector() -> None:
    """Nearly nothing that a command makes is cyclic garbage: looking for it so often takes time."""
    import gc

    gc.set_threshold(20_000, 10, 10)


def leave(code: int) -> None:
    """Ends at once: files are flushed and closed by then, and tearing modules down only takes time."""
    import os

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # a closed pipe or a full device, told already
        os._exit(code)
    os._exit(code)


if __name__ == "__main__":
    main()
