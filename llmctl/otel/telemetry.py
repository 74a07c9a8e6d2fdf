"""Spans and measurements of calls, handed to OpenTelemetry's SDK, which sends them by OTLP over HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmctl.core.addresses import host_of, refuse_address
from llmctl.core.errors import MissingExtra
from llmctl.core.model import Request, Response
from llmctl.core.money import to_usd
from llmctl.core.profile import OtelRule
from llmctl.otel import attributes

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

NAME = "llmctl"
END_S = 3.0
"""How long the end of a command waits for what is still to be sent."""
QUEUE = 16_384
"""Spans that may wait to be sent; the SDK's own 2,048 are gone in half a second of a fast batch."""
BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULT_BASE = "http://localhost:4318"
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of the histograms, as the conventions have them."""


def wanted(rule: OtelRule) -> bool:
    """Whether the profile asks for it; where only the environment does, whether the SDK is here."""
    if rule.enabled:
        return True
    from importlib.util import find_spec

    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None


class Telemetry:
    """Made once a `run`: its id, and our version.

    An application that has set up OpenTelemetry itself gets the spans in its own way.
    """

    def __init__(
        self, rule: OtelRule, environ: Mapping[str, str], run: tuple[str, str], warn: Callable[[str], None]
    ) -> None:
        try:
            import opentelemetry.exporter.otlp.proto.http  # to know at once that it is there
            import opentelemetry.sdk.trace  # noqa: F401
        except ImportError:
            raise MissingExtra("tracing", "otel") from None
        self._rule = rule
        self._environ = environ
        self._run_id, self._version = run
        self._closing: list[Callable[[], object]] = []
        self._complaints = _Complaints.listen(warn)

    def call(self, request: Request, outcome: Response | BaseException, began: float, seconds: float) -> None:
        """Tells of one call, `began` in Unix seconds. Whatever goes wrong here, the answer is not lost."""
        try:
            self._tell(request, outcome, began, seconds)
        except Exception as error:  # noqa: BLE001  # a bug of ours or of the SDK's: the call was paid for
            self._complaints.once(f"a call was not traced: {type(error).__name__}")

    def _tell(
        self, request: Request, outcome: Response | BaseException, began: float, seconds: float
    ) -> None:
        """One span, a child for each request that went out, and what is measured of it."""
        from opentelemetry.trace import SpanKind

        shared = attributes.shared(request)
        ended = attributes.answered(outcome)
        more = attributes.texts(request, outcome) if self._rule.texts else {}
        first, last = _nanos(began), _nanos(began + seconds)
        span = self._tracer.start_span(
            f"chat {shared['gen_ai.request.model']}",
            context=self._parent,
            kind=SpanKind.CLIENT,
            attributes=attributes.clean({**shared, **attributes.asked(request), **ended, **more}),
            start_time=first,
        )
        self._attempts(span, outcome, last)
        _fail(span, ended.get("error.type"))
        span.end(last)
        if not isinstance(outcome, Response) or not outcome.cached:
            self._measure(shared, outcome, ended, seconds)

    def _attempts(self, span: Span, outcome: Response | BaseException, last: int) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        tried = getattr(outcome, "tried", ())
        if not tried or not span.is_recording():
            return
        inside = set_span_in_context(span)
        for number, attempt in enumerate(tried, 1):
            child = self._tracer.start_span(
                f"attempt {number}",
                context=inside,
                kind=SpanKind.CLIENT,
                attributes=attributes.attempted(attempt, number),
                start_time=_nanos(attempt.started),
            )
            _fail(child, attempt.error)
            child.end(max(_nanos(attempt.started), min(_nanos(attempt.started + attempt.latency), last)))

    def _measure(
        self,
        shared: attributes.Attributes,
        outcome: Response | BaseException,
        ended: attributes.Attributes,
        seconds: float,
    ) -> None:
        kept: attributes.Attributes = {
            name: ended[name] for name in ("gen_ai.response.model", "error.type") if name in ended
        }
        labels = attributes.clean(shared | kept)
        duration, tokens, cost = self._instruments
        duration.record(seconds, labels)
        if isinstance(outcome, Response):
            usage = outcome.usage
            tokens.record(usage.input_tokens, {**labels, "gen_ai.token.type": "input"})
            tokens.record(usage.output_tokens, {**labels, "gen_ai.token.type": "output"})
            cost.add(to_usd(outcome.cost) or 0.0, labels)

    @cached_property
    def _parent(self) -> Context | None:
        """The span named by TRACEPARENT, as CI systems set it; None: whatever span is current."""
        if not self._environ.get("TRACEPARENT"):
            return None
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        names = ("TRACEPARENT", "TRACESTATE")
        carrier: dict[str, str] = {name.lower(): self._environ.get(name, "") for name in names}
        return TraceContextTextMapPropagator().extract(carrier)

    @cached_property
    def _tracer(self) -> Any:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        found = trace.get_tracer_provider()
        if isinstance(found, TracerProvider):
            return found.get_tracer(NAME)
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        if self._environ.get("OTEL_TRACES_EXPORTER") != "none":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            exporter = OTLPSpanExporter(endpoint=self._endpoint("traces"), timeout=END_S)
            provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=self._queue))
        self._closing.append(provider.shutdown)
        return provider.get_tracer(NAME)

    @property
    def _queue(self) -> int | None:
        return None if self._environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE

    @cached_property
    def _instruments(self) -> tuple[Any, Any, Any]:
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider

        found = metrics.get_meter_provider()
        meter = (found if isinstance(found, MeterProvider) else self._meters()).get_meter(NAME)
        return (
            meter.create_histogram(
                "gen_ai.client.operation.duration",
                "s",
                "GenAI operation duration.",
                explicit_bucket_boundaries_advisory=SECONDS,
            ),
            meter.create_histogram(
                "gen_ai.client.token.usage",
                "{token}",
                "Number of input and output tokens used.",
                explicit_bucket_boundaries_advisory=TOKENS,
            ),
            meter.create_counter("llmctl.cost", "USD", "What calls have cost, as far as prices are known."),
        )

    def _meters(self) -> Any:
        from opentelemetry.sdk.metrics import MeterProvider

        readers = []
        if self._environ.get("OTEL_METRICS_EXPORTER") != "none":
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

            exporter = OTLPMetricExporter(endpoint=self._endpoint("metrics"), timeout=END_S)
            readers.append(PeriodicExportingMetricReader(exporter))
        provider = MeterProvider(readers, resource=self._resource, shutdown_on_exit=False)
        self._closing.append(provider.shutdown)
        return provider

    @cached_property
    def _resource(self) -> Any:
        from opentelemetry.sdk.resources import Resource

        named = self._environ.get("OTEL_SERVICE_NAME") or "service.name=" in self._environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        own: dict[str, Any] = {"service.version": self._version, "service.instance.id": self._run_id}
        if not named:
            own["service.name"] = NAME
        return Resource.create(own)

    def _endpoint(self, signal: str) -> str:
        """Of the profile, else of the environment by OpenTelemetry's rules, else this machine's usual one."""
        own = self._environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        if own and self._rule.endpoint is None:
            return own
        base = self._rule.endpoint or self._environ.get(BASE) or DEFAULT_BASE
        return f"{base.rstrip('/')}/v1/{signal}"

    def refuse(self, plain_http: Collection[str]) -> None:
        """ForbiddenAddress where nothing may be sent to; texts leave this machine by https:// alone."""
        for signal in ("traces", "metrics"):
            url = self._endpoint(signal)
            refuse_address(url, plain_http if self._rule.texts else (host_of(url),))

    def end(self) -> None:
        """Sends what is left, within END_S; a receiver that is down costs no more than that."""
        threads = [threading.Thread(target=step, daemon=True) for step in self._closing]
        self._closing.clear()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(END_S / len(threads))


class _Complaints(logging.Handler):
    """The SDK's own log: its first complaint is a warning of ours, and nothing of it is printed."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn
        self._said = False

    @classmethod
    def listen(cls, warn: Callable[[str], None]) -> _Complaints:
        logger = logging.getLogger("opentelemetry")
        for each in [each for each in logger.handlers if isinstance(each, cls)]:
            logger.removeHandler(each)
        found = cls(warn)
        logger.addHandler(found)
        logger.propagate = False
        return found

    def emit(self, record: logging.LogRecord) -> None:
        self.once(record.getMessage())

    def once(self, said: str) -> None:
        if not self._said:
            self._said = True
            self._warn(f"otel: {said}")


def _fail(span: Span, error: str | None) -> None:
    if error is not None:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, error))


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)
