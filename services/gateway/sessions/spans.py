"""The gateway's part of a trace: a span from a session's opening to its leaving, and one for each durable result that comes back."""

from __future__ import annotations

from voxrelay import tracing
from voxrelay.events import Event, Lane, SynthesisProduced

PART = "gateway"


class SessionSpan:
    """Begins at once. Where nothing is traced, or this session is not, only its ``traceparent`` is of use."""

    def __init__(self, name: str, edge: str, session_id: str, lane: Lane, traceparent: str) -> None:
        """``traceparent`` is the caller's, perhaps none or nonsense."""
        self._tracer = tracing.tracer()
        self._attributes = {"voxrelay.session": session_id, "voxrelay.lane": lane}
        self._span: tracing.Span | None = None
        if self._tracer is None:
            self.traceparent = tracing.accepted(traceparent)
            return
        caller = traceparent if tracing.is_traceparent(traceparent) else ""
        span = self._tracer.start(name, PART, caller, attributes={"voxrelay.edge": edge, **self._attributes})
        self.traceparent = span.traceparent
        if tracing.is_sampled(span.traceparent):
            self._span = span

    def received(self, event: Event) -> None:
        """A result of the session. Of speech only the last piece counts."""
        if self._span is None or self._tracer is None or not tracing.is_sampled(event.traceparent) or not event.payload.is_durable:
            return
        if isinstance(event.payload, SynthesisProduced) and not event.payload.is_last:
            return
        result = {"voxrelay.result": type(event.payload).__name__, "voxrelay.producer": event.producer}
        self._tracer.start("result", PART, event.traceparent, attributes={**result, **self._attributes}).end()

    def end(self) -> None:
        """The session has left. Safe to call again."""
        if self._span is not None:
            self._span.end()
            self._span = None
