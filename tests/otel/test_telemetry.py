"""Calls reach a real OTLP receiver as the conventions have them; off, nothing of this is there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl import Client
from llmctl.services import Services
from llmctl.stages.trace import trace

from ..conftest import Run
from ..server.client import TestServer
from .receiver import Collector, collecting

CLIENT, ERROR = 3, 2
ASK = ("-m", "openai/gpt-4o-mini")
WORDS = "secret-words-of-mine"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def on(collector: Collector) -> dict[str, str]:
    """The one variable that turns it on."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}


def test_a_call_with_a_failed_attempt(
    llmctl: Run, server: TestServer, collector: Collector, on: dict[str, str]
) -> None:
    """One span by the conventions, a child for each request that went out, and not a word of the text."""
    server.script(queue=["status:503"])
    done = llmctl("run", WORDS, "--tag", "night", "--json", "-O", "seed=7", *ASK, env=on)
    answer = json.loads(done.stdout)
    (call,) = collector.calls
    assert {name: call.get(name) for name in call if name.startswith(("gen_ai", "server", "error"))} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 4000,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "text",
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": answer["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": answer["usage"]["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }
    assert (call["name"], call["kind"], call["status"]) == ("chat gpt-4o-mini", CLIENT, 0)
    assert (call["llmctl.run_id"], call["llmctl.tag"]) == (answer["run_id"], "night")
    assert call["llmctl.cost_usd"] == pytest.approx(answer["cost_usd"])
    first, second = collector.children(call)
    assert (first["http.response.status_code"], first["error.type"], first["status"]) == (
        503,
        "server_error",
        ERROR,
    )
    assert (second["http.response.status_code"], second["http.request.resend_count"]) == (200, 1)
    assert call["start"] <= first["start"] <= first["end"] <= second["start"] <= second["end"] <= call["end"]
    assert collector.resource["service.name"] == "llmctl"
    assert WORDS.encode() not in collector.raw


def test_what_is_measured(llmctl: Run, server: TestServer, collector: Collector, on: dict[str, str]) -> None:
    """Tokens by kind, seconds and money, also of failures; a hit uses no tokens."""
    for _ in range(2):
        assert llmctl("run", "hello", *ASK, env=on).returncode == 0
    server.script(default="status:400")
    assert llmctl("run", "other", *ASK, env=on).returncode == 7
    assert [call["llmctl.cached"] for call in collector.calls[:2]] == ["no", "exact"]
    assert "gen_ai.usage.input_tokens" not in collector.calls[1]
    assert (collector.calls[2]["error.type"], collector.calls[2]["status"]) == ("bad_request", ERROR)
    tokens = collector.points["gen_ai.client.token.usage"]
    kinds = [each.value.string_value for point in tokens for each in point.attributes if "type" in each.key]
    assert sorted(kinds) == ["input", "output"]
    duration = collector.points["gen_ai.client.operation.duration"]
    assert [point.count for point in duration] == [1, 1]
    assert collector.units["gen_ai.client.operation.duration"] == "s"
    assert collector.points["llmctl.cost"][0].as_double > 0


def test_texts_only_where_they_are_asked_for(
    llmctl: Run, work: Path, collector: Collector, on: dict[str, str]
) -> None:
    """And then as they left: what is redacted stays redacted."""
    profile = work / "texts.yaml"
    profile.write_text(
        "models: {main: {model: openai/gpt-4o-mini}}\nprivacy: {redact: [email]}\n"
        f"otel: {{endpoint: '{collector.url}', enabled: true, texts: true}}\n"
    )
    done = llmctl("run", f"{WORDS} for ann@example.com", "-s", "be brief", "-p", str(profile))
    assert "ann@example.com" in done.stdout
    (call,) = collector.calls
    (said,) = json.loads(call["gen_ai.input.messages"])
    assert said["role"] == "user"
    assert WORDS in said["parts"][0]["content"]
    assert json.loads(call["gen_ai.system_instructions"]) == [{"type": "text", "content": "be brief"}]
    assert json.loads(call["gen_ai.output.messages"])[0]["finish_reason"] == "stop"
    assert b"ann@example.com" not in collector.raw


def test_half_signs_are_no_harm(llmctl: Run, work: Path, collector: Collector) -> None:
    """In a name or in a text: neither the answer nor the other spans are lost."""
    (work / "texts.yaml").write_text(
        f"extends: dev\notel: {{endpoint: '{collector.url}', enabled: true, texts: true}}\n"
    )
    rows = '{"prompt": "half \\ud800 sign", "tag": "t\\ud800"}\n{"prompt": "whole"}\n'
    done = llmctl("batch", "-", "-p", "texts.yaml", "-o", "out.jsonl", stdin=rows)
    assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
    assert len(collector.calls) == 2


def test_a_batch_in_a_traced_job(llmctl: Run, collector: Collector, on: dict[str, str]) -> None:
    """A span a call, below the span that TRACEPARENT names."""
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    rows = "".join(json.dumps({"prompt": f"row {n}"}) + "\n" for n in range(30))
    own = {**on, "TRACEPARENT": f"00-{trace_id}-{parent}-01"}
    assert llmctl("batch", "-", "-o", "out.jsonl", *ASK, stdin=rows, env=own).returncode == 0
    assert len(collector.calls) == 30
    assert {(call["trace"], call["parent"].hex()) for call in collector.calls} == {(trace_id, parent)}


def test_the_library_joins_the_span_of_its_program(
    environ: dict[str, str], collector: Collector, on: dict[str, str], tmp_path: Path
) -> None:
    """A program that has set up OpenTelemetry gets our spans in its own way, in the place they belong."""
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from llmctl import Client
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
with trace.get_tracer("app").start_as_current_span("outer") as outer, Client("dev") as client:
    client.run("hello")
spans = {span.name: span for span in kept.get_finished_spans()}
assert spans["chat gpt-4o-mini"].parent.span_id == outer.get_span_context().span_id
assert set(spans) == {"outer", "chat gpt-4o-mini", "attempt 1"}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environ, **on}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not collector.spans


def test_a_receiver_that_is_down_costs_seconds_at_most(llmctl: Run) -> None:
    """The answer and its exit code stay, and one warning says why nothing arrives."""
    began = time.monotonic()
    done = llmctl("run", "hello", *ASK, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert (done.returncode, done.stdout) == (0, "echo: hello\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("llmctl: warning: otel: ")
    assert time.monotonic() - began < 30


def test_off_is_not_there(environ: dict[str, str], work: Path, tmp_path: Path) -> None:
    """The stage is the next one itself, and nothing of OpenTelemetry or of ours is imported."""

    async def end(request: object) -> object:
        return request

    services = Services({}, name="local", home=tmp_path)
    assert services.telemetry is None
    assert trace(end, None, services.clock) is end  # type: ignore[arg-type]
    code = (
        "import sys; from llmctl.cli.app import run; assert run(['run', 'hello']) == 0; "
        "print([name for name in sys.modules if 'otel' in name or 'opentelemetry' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=work, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_profile_may_turn_it_off(llmctl: Run, work: Path, collector: Collector, on: dict[str, str]) -> None:
    """Also where the machine's environment names a receiver for everything on it."""
    (work / "off.yaml").write_text("extends: dev\notel: false\n")
    assert llmctl("run", "hello", "-p", "off.yaml", env=on).returncode == 0
    assert not collector.spans


def test_without_the_extra(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is missed; a variable of the machine's alone is no wish."""
    from llmctl.core.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    profile = tmp_path / "on.yaml"
    profile.write_text("models: {main: {model: openai/gpt-4o-mini}}\notel: true\n")
    with Client(str(profile), environ=environ) as client, pytest.raises(MissingExtra, match="otel"):
        client.run("hello")
    named = {**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with Client("dev", environ=named) as client:
        assert client.run("hello").text
