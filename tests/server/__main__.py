"""`python -m tests.server`: prints `{"port": N}` and serves until SIGTERM, or until its stdin is closed."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import ssl
import stat
import sys

from .app import App
from .http import Connection


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="PEM files")
    parser.add_argument("--no-log", action="store_true", help="keep counts only, for benchmarks")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.tls, keep_log=not options.no_log))


async def serve(port: int, tls: tuple[str, str] | None, *, keep_log: bool) -> None:
    """Serve on 127.0.0.1 until told to stop."""
    app = App(keep_log=keep_log)
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(app.answer), "127.0.0.1", port, ssl=context, backlog=4096
    )
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    _watch_stdin(loop, stop)
    gc.freeze()
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await stop.wait()
    os._exit(0)  # open connections, stalled ones among them, need no farewell


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the parent is gone. Only a pipe says so: a terminal or /dev/null does not count."""
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    loop.add_reader(sys.stdin.fileno(), read)


if __name__ == "__main__":
    main()
