"""The command's door: `llmctl` and `python -m llmctl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    # Start-up time is a promise that a container's PYTHONDONTWRITEBYTECODE must not break.
    sys.dont_write_bytecode = False
    if sys.argv[1:] == ["--version"]:
        from llmctl import __version__

        sys.stdout.write(f"llmctl {__version__}\n")
        return
    from llmctl.cli.app import run

    leave(run(sys.argv[1:]))


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
