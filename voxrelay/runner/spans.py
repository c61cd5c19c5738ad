"""The spans of a batch: one for the batch itself, linked to the sessions in it, and one for each sampled session, in its trace.

Audio alone makes no span, so that a trace has as many spans as a session has results, not as it has chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

from voxrelay.events import AudioDenoised, AudioReceived, Event, Lane, Payload
from voxrelay.runner.sessions import TrackedSession
from voxrelay.tracing import Span, Tracer, is_sampled

_AUDIO = (AudioReceived, AudioDenoised)


class BatchSpans:
    """From the taking of a batch to ``end``; used by one runner's thread."""

    def __init__(self, tracer: Tracer, part: str, lane: Lane, events: int, at: float) -> None:
        self._tracer, self._part, self._lane, self._events, self._at = tracer, part, lane, events, at
        self._spans: dict[str, Span] = {}  # by the traceparent they continue
        self._came_from: list[str] = []

    def take(self, event: Event, session: TrackedSession) -> None:
        """An event of the batch; what comes of it will continue from its span."""
        if is_sampled(event.traceparent) and not isinstance(event.payload, _AUDIO):
            session.sent_traceparent = self._continue(event.traceparent, event.session_id).traceparent

    def store(self, event: Event) -> None:
        """An event of a projection's batch."""
        if is_sampled(event.traceparent) and event.payload.is_durable:
            self._continue(event.traceparent, event.session_id)

    def publish(self, session: TrackedSession, payload: Payload) -> None:
        """A result is on its way out."""
        if is_sampled(session.traceparent) and payload.is_durable and not isinstance(payload, _AUDIO):
            session.sent_traceparent = self._continue(session.traceparent, session.session_id).traceparent

    def end(self, at: float) -> None:
        """All of it is stored, or its results are on their way to the log."""
        if not self._spans:
            return
        attributes = {"messaging.batch.message_count": self._events, "voxrelay.lane": self._lane}
        batch = self._tracer.start(f"{self._part} batch", self._part, at=self._at, links=self._came_from, attributes=attributes)
        for span in self._spans.values():
            span.end(at)
        batch.end(at)

    def _continue(self, traceparent: str, session_id: str) -> Span:
        span = self._spans.get(traceparent)
        if span is None:
            self._came_from.append(traceparent)
            attributes = {"voxrelay.session": session_id, "voxrelay.lane": self._lane}
            span = self._spans[traceparent] = self._tracer.start(self._part, self._part, traceparent, at=self._at, attributes=attributes)
        return span


def stage_spans(tracer: Tracer | None, part: str, lane: Lane, taken: Sequence[tuple[Event, TrackedSession]], at: float) -> BatchSpans | None:
    """Of a stage's batch; None where nothing is traced, or nothing of the batch."""
    if tracer is None or not any(is_sampled(event.traceparent) for event, _ in taken):
        return None
    spans = BatchSpans(tracer, part, lane, len(taken), at)
    for event, session in taken:
        spans.take(event, session)
    return spans


def projection_spans(tracer: Tracer | None, part: str, lane: Lane, events: Sequence[Event], at: float) -> BatchSpans | None:
    """The same of a projection's."""
    if tracer is None or not any(is_sampled(event.traceparent) for event in events):
        return None
    spans = BatchSpans(tracer, part, lane, len(events), at)
    for event in events:
        spans.store(event)
    return spans
