"""An OTLP/HTTP receiver on a loopback socket: reads what comes with OpenTelemetry's own protocol classes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """`spans` as dicts with their attributes; `points` by the metric's name."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.points: dict[str, list[Any]] = {}
        self.units: dict[str, str] = {}
        self.resource: dict[str, Any] = {}
        self.raw = b""
        self.status = 200
        self.url = ""

    def take(self, path: str, body: bytes) -> None:
        self.raw += body
        if path.endswith("/v1/traces"):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = plain(group.resource.attributes)
                for scope in group.scope_spans:
                    self.spans += [span_of(span) for span in scope.spans]
        elif path.endswith("/v1/metrics"):
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for inner in metrics.scope_metrics:
                    for metric in inner.metrics:
                        self.units[metric.name] = metric.unit
                        data = metric.histogram if metric.HasField("histogram") else metric.sum
                        self.points.setdefault(metric.name, []).extend(data.data_points)

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"].startswith("chat ")]

    def children(self, of: dict[str, Any]) -> list[dict[str, Any]]:
        found = [span for span in self.spans if span["parent"] == of["id"]]
        return sorted(found, key=lambda span: span["start"])


def span_of(span: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "id": span.span_id,
        "trace": span.trace_id.hex(),
        "parent": span.parent_span_id,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "status": span.status.code,
        **plain(span.attributes),
    }


def plain(attributes: Any) -> dict[str, Any]:
    return {each.key: value_of(each.value) for each in attributes}


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if collector.status == 200:
                collector.take(self.path, body)
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
