"""The process that runs llama.cpp's server for the embedded model, apart from any command.

`python -m llmctl.providers.local_host FOLDER KEY WEIGHTS IDLE LOCK_FD THREADS`, started by
`llmctl.providers.local`. It inherits the exclusive lock of its files, so nobody else starts a host
while it loads, even if the command that started it is killed. Nothing secret is on its command line:
it makes up the server's key itself and writes it where only this user reads.

It leaves by itself `IDLE` seconds after the last request and the last lease, and at once when its
endpoint file is taken away (`stop`, a removed home, newer weights) and no request is running. `THREADS`
0 leaves one core to everybody else.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any

from llmctl.providers.local_files import HostFiles, Record, healthy, locked, process_started, unlock

# One thread gets 75 tokens/s for one answer as for eight at once, so more slots only take memory:
# two let a short question pass a long answer, the other requests queue in the server.
SLOTS = 2
CONTEXT = 4096  # tokens a request, prompt and answer together
LOAD_LIMIT = 900  # seconds; a runtime that hangs while loading must not hold the lock for ever
LOG_LIMIT = 256 * 1024  # bytes


def threads() -> int:
    """Threads to compute with: one core is left to everybody else, else all crawl."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores) - 1)


def _quota() -> int | None:
    """Whole cores that this container may use (cgroup v2 `cpu.max`), if limited."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


def start_server(weights: Path, key: str, computing: int) -> Any:
    """llama.cpp's HTTP server on a free loopback port, loaded; so many threads are `computing`.

    Raises RuntimeError for bad weights.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {weights.stem}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = computing
    params.cache_ram_mib = 0  # by default up to 8 GB of old prompts
    params.endpoint_metrics = True
    params.endpoint_slots = False  # would show prompts
    params.ui = False
    params.verbosity = 1  # errors only: no prompt reaches the log
    return xllamacpp.Server(params)


def activity(metrics: str) -> tuple[bool, tuple[str, ...]]:
    """(a request is running or waiting, all counters) of llama.cpp's Prometheus text."""
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line and line[0] != "#")
    now = ("llamacpp:requests_processing", "llamacpp:requests_deferred")
    busy = any(float(values.get(name, 0)) > 0 for name in now)
    return busy, tuple(value for name, value in values.items() if name.endswith("_total"))


def watch(files: HostFiles, server: Any, endpoint: int, idle: float) -> None:
    """Return when nobody needs the host any more.

    Changes are watched for, not times compared, so a clock that jumps neither ends nor keeps it.
    """
    seen: object = None
    quiet_since = time.monotonic()
    while True:
        busy, now = _signs(files, server)
        if busy or now != seen:
            seen, quiet_since = now, time.monotonic()
        if not busy and not files.publishes(endpoint):
            return
        if time.monotonic() - quiet_since >= idle and _retire(files, server, seen):
            return
        _bound_log()
        time.sleep(min(1.0, idle / 8))


def _signs(files: HostFiles, server: Any) -> tuple[bool, object]:
    """(busy, whatever changes with each request or lease)."""
    busy, counters = activity(server.handle_metrics())
    try:
        lease = files.lock.stat().st_mtime_ns
    except FileNotFoundError:
        lease = 0
    return busy, (counters, lease)


def _retire(files: HostFiles, server: Any, seen: object) -> bool:
    """Take the endpoint away, unless a command asked for it this very moment."""
    with locked(files.lock, exclusive=True) as lock:
        if lock is None or _signs(files, server) != (False, seen):
            return False
        files.remove()
        return True


def _bound_log() -> None:
    if os.fstat(2).st_size > LOG_LIMIT:
        os.ftruncate(2, 0)


def run(files: HostFiles, weights: Path, idle: float, lock: int, computing: int) -> None:
    """Load, publish, serve, leave. `lock` is the held lock's descriptor, given back once published."""
    signal.alarm(LOAD_LIMIT)
    pid = os.getpid()
    started = process_started(pid)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{pid} {started}".encode(), 0)  # so that `stop` finds a host that still loads
    stat = weights.stat()
    key = secrets.token_urlsafe(32)
    server = start_server(weights, key, computing)
    port = int(server.listening_address.rsplit(":", 1)[1])
    while not healthy(port):
        time.sleep(0.02)
    signal.alarm(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.chdir("/")
    version = _runtime_version()
    endpoint = files.publish(
        Record(pid, started, port, key, str(weights), stat.st_size, stat.st_mtime_ns, version)
    )
    unlock(lock)
    os.close(lock)
    try:
        watch(files, server, endpoint, idle)
    finally:
        if files.publishes(endpoint):
            files.endpoint.unlink(missing_ok=True)


def _runtime_version() -> str:
    from importlib.metadata import version

    return version("xllamacpp")


def main() -> None:
    """Leave the starter's process tree, then `run`."""
    folder, key, weights, idle, lock, computing = sys.argv[1:]
    if os.fork():
        # A grandchild is nobody's zombie, and outlives its starter without a warning.
        os._exit(0)
    code = 1
    try:
        run(HostFiles(Path(folder), key), Path(weights), float(idle), int(lock), int(computing) or threads())
        code = 0
    except SystemExit:
        code = 0
    except Exception as error:  # noqa: BLE001 - whatever it was, the log tells it to the command that waits
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the log
    finally:
        # The runtime's own threads are not joined: a request they still hold must not keep us.
        os._exit(code)


if __name__ == "__main__":
    main()
