"""Spans by OpenTelemetry, sent over OTLP with HTTP and protobuf. The only file that imports it; loaded where an endpoint is set."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import metadata
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from voxrelay.tracing import MOST_LINKS, Attributes, is_traceparent

EXPORT_TIMEOUT_S = 3.0
SEND_EVERY_MS = 1000
MOST_WAITING = 4096  # spans; more are dropped


class _BySession(Sampler):
    """As the parent says, else by ratio; a batch, which has no parent, where a session in it is sampled: only then it is linked to any."""

    def __init__(self, ratio: float) -> None:
        self._otherwise = ParentBased(TraceIdRatioBased(ratio))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        sampler = ALWAYS_ON if links else self._otherwise
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return "by session"


class _OtlpSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, at: float | None = None) -> None:
        self._span.end(None if at is None else int(at * 1e9))


class OtlpTracer:
    def __init__(self, endpoint: str, ratio: float, process: str) -> None:
        resource = Resource.create({"service.name": f"voxrelay-{process}", "service.version": metadata.version("voxrelay")})
        self._provider = TracerProvider(sampler=_BySession(ratio), resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MOST_WAITING, schedule_delay_millis=SEND_EVERY_MS))
        self._tracer = self._provider.get_tracer("voxrelay")

    def start(
        self,
        name: str,
        part: str,
        traceparent: str = "",
        *,
        at: float | None = None,
        links: Collection[str] = (),
        attributes: Attributes | None = None,
    ) -> _OtlpSpan:
        parent = _context_of(traceparent)
        found = [Link(context) for link in list(links)[:MOST_LINKS] if (context := _context_of(link)) is not None]
        span = self._tracer.start_span(
            name,
            context=Context() if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), Context()),
            kind=SpanKind.SERVER if part == "gateway" and parent is None else SpanKind.CONSUMER,
            links=found,
            attributes={"voxrelay.part": part, **(attributes or {})},
            start_time=None if at is None else int(at * 1e9),
        )
        return _OtlpSpan(span)

    def close(self) -> None:
        self._provider.force_flush(int(EXPORT_TIMEOUT_S * 1000))
        self._provider.shutdown()


def _context_of(traceparent: str) -> SpanContext | None:
    if not is_traceparent(traceparent):
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
