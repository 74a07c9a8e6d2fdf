"""The dashboard's door: who may come in, what is answered, and how it ends."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ..conftest import Run
from ..usage.kit import Kit
from .made import made
from .serving import Dashboard, minimal, serving

TOKEN = "made-up-" * 3


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """Over a home with nothing in it, for all who only look."""
    folder = tmp_path_factory.mktemp("served")
    with serving(minimal(folder), folder) as dashboard:
        yield dashboard


def test_programs_get_what_the_contract_names(
    environ: dict[str, str], work: Path, home: Path, llmctl: Run
) -> None:
    """Scripts read these names; they are those of the issue and of every later version."""
    for model in ("openai/gpt-4o-mini", "openai/gpt-4o-mini", "openai/gpt-4.1"):
        assert llmctl("run", "-m", model, "hello").returncode == 0
    report = json.loads(llmctl("usage", "--by", "model", "--json").stdout)
    with serving(environ, work) as dashboard:
        body = dashboard.get("/metrics/llm").json()
        assert (body["schema"], body["total_requests"], body["success_rate"]) == (1, 3, 1.0)
        assert body["avg_response_time"] == report["total"]["latency_s"]["mean"]
        assert body["total_tokens"] == report["total"]["input_tokens"] + report["total"]["output_tokens"]
        groups = {group["key"]["model"]: group for group in report["groups"]}
        assert body["cost_breakdown"] == {model: group["cost_usd"] for model, group in groups.items()}
        for model, group in groups.items():
            used = body["model_usage"][model]
            tokens = group["input_tokens"] + group["output_tokens"]
            assert (used["calls"], used["tokens"], used["cost_usd"]) == (
                group["calls"],
                tokens,
                group["cost_usd"],
            )
        assert (body["cache_hits"], body["cache_hit_rate"]) == (1, 0.333333)
        only = dashboard.get("/metrics/llm?model=openai/gpt-4.1&since=24h").json()
        assert (only["total_requests"], list(only["model_usage"])) == (1, ["openai/gpt-4.1"])
        assert dashboard.get("/metrics/llm?until=2020-01-01").json()["success_rate"] is None
        assert dashboard.get("/healthz").json() == {"schema": 1, "status": "ok"}


def test_an_empty_home_is_answered_too(environ: dict[str, str], work: Path, home: Path) -> None:
    """The page may be opened before the first call, and opening it makes no ledger."""
    with serving(environ, work) as dashboard:
        body = dashboard.get("/metrics/llm").json()
        assert (body["total_requests"], body["cost_breakdown"], body["total_cost"]) == (0, {}, 0.0)
        assert dashboard.get("/api/series").json()["at"] == []
        assert dashboard.get("/api/calls").json()["slowest"] == []
    assert not (home / "ledger.db").exists()


def test_every_address_is_described_and_answers(served: Dashboard) -> None:
    """A description that names what is not there, or leaves out what is, helps nobody."""
    described = served.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    assert {"/metrics/llm", "/metrics", "/healthz"} <= set(described["paths"])
    for path, methods in described["paths"].items():
        if path == "/api/events":
            continue  # has no end
        answer = served.get(path)
        assert answer.status == 200, path
        kind = next(iter(methods["get"]["responses"]["200"]["content"]))
        assert answer.headers["content-type"].startswith(kind)
        if kind == "application/json" and path != "/openapi.json":
            properties = methods["get"]["responses"]["200"]["content"][kind]["schema"]["properties"]
            assert set(properties) <= set(answer.json())
    for page in ("/", "/docs", "/static/app.js", "/static/uplot.LICENSE.txt"):
        assert served.get(page).status == 200


def test_what_is_wrong_is_said_with_its_remedy(served: Dashboard) -> None:
    """A typing error in a parameter must not be answered with figures of something else."""
    for path in (
        "/metrics/llm?sinec=7d",
        "/metrics/llm?since=yesterdayish",
        "/api/state?x=1",
        "/api/series?tz=Mars",
    ):
        answer = served.get(path)
        assert answer.status == 400, path
        assert answer.json()["error"]["hint"]
    assert served.get("/static/../app.py").status == 404
    assert served.get("/nothing").status == 404


def test_a_damaged_ledger_is_told_and_not_hidden(environ: dict[str, str], work: Path, home: Path) -> None:
    """Zeros instead of an error would look like a quiet night."""
    home.mkdir()
    (home / "ledger.db").write_text("no ledger at all" * 100)
    with serving(environ, work) as dashboard:
        answer = dashboard.get("/metrics/llm")
        assert answer.status == 503
        assert "damaged" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "192.168.1.7"]
)
def test_a_foreign_host_name_is_refused(served: Dashboard, host: str) -> None:
    """A page elsewhere can point its own name at 127.0.0.1 and read through the user's browser."""
    for path in ("/", "/metrics/llm", "/healthz"):
        assert served.get(path, {"Host": host}).status == 403
    port = served.url.rpartition(":")[2]
    assert served.get("/healthz", {"Host": f"localhost:{port}"}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(served: Dashboard, method: str) -> None:
    """Read-only: there is nothing that a forged request could do."""
    answer = served.get("/metrics/llm", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_every_answer_forbids_what_pages_do_not_need(served: Dashboard) -> None:
    """No inline script, no other origin, no frame: what gets past the escaping still runs nowhere."""
    for path in ("/", "/metrics/llm", "/static/app.js", "/nothing", "/metrics/llm?x=1"):
        headers = served.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers
    assert "<script>" not in served.get("/").text


def test_a_token_opens_the_door(environ: dict[str, str], work: Path) -> None:
    """Another machine needs the token for everything: as a header, or as a browser's password."""
    with serving(
        {**environ, "DASH": TOKEN}, work, "--host", "0.0.0.0", "--token-ref", "env:DASH"
    ) as dashboard:
        port = dashboard.url.rpartition(":")[2]
        known = Dashboard(dashboard.process, f"http://127.0.0.1:{port}")

        def basic(password: str) -> str:
            return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

        for path in ("/", "/metrics/llm", "/metrics", "/healthz", "/static/app.js", "/api/events"):
            refused = known.get(path)
            assert (refused.status, TOKEN in refused.text) == (401, False)
            assert refused.headers["www-authenticate"].startswith("Basic")
        for wrong in ("Bearer no", f"Bearer {TOKEN}x", basic("no"), "Basic ???", TOKEN, "Bearer "):
            assert known.get("/metrics/llm", {"Authorization": wrong}).status == 401
        for right in (f"Bearer {TOKEN}", basic(TOKEN)):
            assert known.get("/metrics/llm", {"Authorization": right}).status == 200
            assert known.get("/", {"Authorization": right, "Host": f"192.168.1.7:{port}"}).status == 200
            assert known.get("/", {"Authorization": right, "Host": "evil.example"}).status == 403


def test_without_a_token_only_this_machine_is_served(llmctl: Run) -> None:
    """An open door to what was asked and paid is never made by accident."""
    done = llmctl("dashboard", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "--token-ref" in done.stderr
    assert llmctl("dashboard", "--host", "no.such.host.invalid", "--port", "0").returncode == 2
    missing = llmctl("dashboard", "--token-ref", "env:NOT_THERE", "--port", "0")
    assert (missing.returncode, "NOT_THERE" in missing.stderr) == (3, True)
    written = llmctl("dashboard", "--token-ref", "an-open-secret", "--port", "0")
    assert (written.returncode, "an-open-secret" in written.stderr) == (3, False)


def test_a_port_that_is_taken_is_told(llmctl: Run) -> None:
    """Two dashboards on one machine are usual."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = llmctl("dashboard", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 3
    assert "--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly(environ: dict[str, str], work: Path, number: int, code: int) -> None:
    """Also while a page listens: no traceback, no waiting, the exit code that the contract names."""
    with serving(environ, work) as dashboard:
        heard = threading.Event()

        def listen() -> None:
            from urllib.request import urlopen

            with urlopen(f"{dashboard.url}/api/events", timeout=20) as answer:
                for _ in answer:
                    heard.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert heard.wait(20)
        found, err = dashboard.end(number)
        listener.join(20)
        assert not listener.is_alive()
    assert found == code
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 1


def test_the_address_comes_as_json(environ: dict[str, str], work: Path) -> None:
    """A script that starts it on a free port has to learn which."""
    process = subprocess.Popen(
        [sys.executable, "-m", "llmctl", "dashboard", "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=work, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    body = json.loads(process.stdout.readline())
    process.terminate()
    process.communicate(timeout=30)
    assert body["url"] == f"http://127.0.0.1:{body['port']}/"


def test_without_the_extra_its_name_is_told(environ: dict[str, str], work: Path) -> None:
    """An import error is no help; the name of the extra is."""
    code = (
        "import sys; sys.modules['uvicorn'] = None; from llmctl.cli.app import run; "
        "sys.exit(run(['dashboard', '--port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=work, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "llmctl[serve]" in done.stderr


def test_prometheus_reads_the_metrics(environ: dict[str, str], work: Path, home: Path, llmctl: Run) -> None:
    """Names and units that stay, once each; the same text as a file for a node exporter."""
    home.mkdir()
    made(home / "ledger.db", 3000, 20)
    kit = Kit(home / "ledger.db")
    kit.number = 10_000
    kit.call(kit.clock.now() + 1, model='x/"quoted\\\n{name}', tag='a,b="c"', cost=None)
    kit.done()
    with serving(environ, work) as dashboard:
        answer = dashboard.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    total = json.loads(llmctl("usage", "--json").stdout)["total"]
    assert sum(sample.value for sample in families["llmctl_requests"].samples) == total["calls"] == 3001
    assert sum(s.value for s in families["llmctl_cost_usd"].samples) == pytest.approx(total["cost_usd"])
    assert sum(s.value for s in families["llmctl_errors"].samples) == total["failed"]
    labels = {sample.labels["model"]: sample.labels["tag"] for sample in families["llmctl_requests"].samples}
    assert labels['x/"quoted\\\n{name}'] == 'a,b="c"'
    for family in families.values():
        assert family.documentation
        assert family.name.startswith("llmctl_")
    times = families["llmctl_response_time_seconds"]
    for model in total and {sample.labels["model"] for sample in times.samples}:
        buckets = [
            s.value for s in times.samples if s.name.endswith("_bucket") and s.labels["model"] == model
        ]
        assert buckets == sorted(buckets)
        (count,) = [
            s.value for s in times.samples if s.name.endswith("_count") and s.labels["model"] == model
        ]
        assert buckets[-1] == count
    done = llmctl("usage", "--prometheus", "llmctl.prom")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (work / "llmctl.prom").read_text("utf-8") == answer.text
    assert (work / "llmctl.prom").stat().st_mode & 0o777 == 0o644
    assert llmctl("usage", "--prometheus", "-").stdout == answer.text
    refused = llmctl("usage", "--prometheus", "-", "--since", "7d")
    assert (refused.returncode, "--since" in refused.stderr) == (2, True)
