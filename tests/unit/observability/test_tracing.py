"""Who is traced, what a caller's header may do, and how spans of a stage continue each other: by a tracer that writes down what it is told."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pytest

from services.gateway.sessions.spans import SessionSpan
from tests.unit.runner.counting import CountingStage
from tests.unit.runner.test_stage_runner import make_bus, read_all
from voxrelay import codec, tracing
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import AudioDenoised, AudioReceived, Event, Payload, SessionConfig, SessionEnded, SessionOpened
from voxrelay.runner import StageRunner
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED, DENOISE, UTTERANCE_DETECTED, edges

PATIENCE_S = 30.0
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@dataclass
class Told:
    name: str
    part: str
    parent: str
    traceparent: str
    links: tuple[str, ...]
    ends: list[float | None] = field(default_factory=list)

    def end(self, at: float | None = None) -> None:
        self.ends.append(at)


class Notes:
    """A tracer that samples as the parent says, and by ``otherwise``."""

    def __init__(self, otherwise: bool = False) -> None:
        self.spans: list[Told] = []
        self._otherwise = otherwise

    def start(
        self,
        name: str,
        part: str,
        traceparent: str = "",
        *,
        at: float | None = None,
        links: Collection[str] = (),
        attributes: tracing.Attributes | None = None,
    ) -> Told:
        number = len(self.spans) + 1
        trace_id = traceparent.split("-")[1] if traceparent else f"{number:032x}"
        is_sampled = tracing.is_sampled(traceparent) if traceparent else self._otherwise
        span = Told(name, part, traceparent, f"00-{trace_id}-{number:016x}-0{int(is_sampled)}", tuple(links))
        self.spans.append(span)
        return span

    def close(self) -> None: ...


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    notes = Notes()
    monkeypatch.setattr(tracing, "_tracer", notes)
    return notes


def run(bus: MemoryBus, session: str, payloads: list[Payload], traceparents: Iterator[str]) -> None:
    """Through a denoise that counts, one batch a record."""
    runner, stop = StageRunner(bus, DENOISE, "live", CountingStage()), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    producer = bus.producer()
    try:
        for sequence, payload in enumerate(payloads, 1):
            event = Event(session, payload, "gateway", sequence, f"{session}/gateway/{sequence}", 1.0, 1.0, next(traceparents))
            before = len(read_all(bus, AUDIO_DENOISED.name("live")))
            producer.send(AUDIO_RECEIVED.name("live"), *codec.encode(event, AUDIO_RECEIVED.encoding))
            deadline = time.monotonic() + PATIENCE_S
            while len(read_all(bus, AUDIO_DENOISED.name("live"))) == before:
                assert time.monotonic() < deadline
                time.sleep(0.005)
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def session_of(chunks: int) -> list[Payload]:
    return [SessionOpened(SessionConfig()), *(AudioReceived(n, b"%d" % n) for n in range(chunks)), SessionEnded()]


def traceparents_on(bus: MemoryBus, topic: str) -> list[tuple[type, str]]:
    records = sorted(read_all(bus, topic), key=lambda record: record.offset)
    return [(type(event.payload), event.traceparent) for event in (codec.decode(r.key, r.value, r.headers) for r in records)]


def test_a_stage_continues_its_session_and_audio_alone_makes_no_span(notes: Notes) -> None:
    bus = make_bus()
    run(bus, "s", session_of(4), iter([CALLER] * 6))
    own = [span for span in notes.spans if span.parent == CALLER]
    assert [span.name for span in own] == ["denoise"] * 3  # the opening, the start of an utterance with the fourth chunk, the end
    assert all(len(span.ends) == 1 for span in notes.spans)
    batches = [span for span in notes.spans if span.name == "denoise batch"]
    assert [span.links for span in batches] == [(CALLER,)] * 3
    assert all(not span.parent for span in batches)
    # What it publishes goes on from its newest span: audio too, so that a reader's spans are its children and not the gateway's.
    published = traceparents_on(bus, AUDIO_DENOISED.name("live"))
    assert {traceparent for _, traceparent in published} <= {span.traceparent for span in own}
    audio = [traceparent for kind, traceparent in published if kind is AudioDenoised]
    assert audio[:3] == [own[0].traceparent] * 3
    assert {traceparent for _, traceparent in traceparents_on(bus, UTTERANCE_DETECTED.name("live"))} <= {span.traceparent for span in own}


def test_a_session_that_is_not_sampled_makes_no_span_and_keeps_its_header(notes: Notes) -> None:
    bus, unsampled = make_bus(), CALLER[:-1] + "0"
    run(bus, "s", session_of(4), iter([unsampled] * 6))
    assert notes.spans == []
    assert {traceparent for _, traceparent in traceparents_on(bus, AUDIO_DENOISED.name("live"))} == {unsampled}


def test_a_session_that_goes_on_in_another_trace_leaves_the_first(notes: Notes) -> None:
    """Another gateway took it over."""
    bus, second = make_bus(), f"00-{'9' * 32}-b7ad6b7169203331-00"
    run(bus, "s", session_of(4), iter([CALLER, CALLER, second, second, second, second]))
    audio = [traceparent for kind, traceparent in traceparents_on(bus, AUDIO_DENOISED.name("live")) if kind is AudioDenoised]
    assert [traceparent.split("-")[1] for traceparent in audio] == [TRACE_ID, "9" * 32, "9" * 32, "9" * 32]


def test_the_gateway_takes_a_callers_trace_and_its_decision(notes: Notes) -> None:
    span = SessionSpan("session", "native", "s", "live", CALLER)
    assert notes.spans[0].parent == CALLER
    assert tracing.is_sampled(span.traceparent)
    result = Event("s", SessionEnded(), "denoise", 1, "s/denoise/1", 1.0, 1.0, span.traceparent)
    span.received(result)
    span.end()
    span.end()
    assert [len(told.ends) for told in notes.spans] == [1, 1]
    assert notes.spans[1].parent == span.traceparent
    refused = SessionSpan("session", "native", "s", "live", CALLER[:-1] + "0")
    refused.received(result)
    assert len(notes.spans) == 3
    assert not tracing.is_sampled(refused.traceparent)


@pytest.mark.parametrize(
    "sent", ["", "nonsense", CALLER + "-more", CALLER.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01", f"01-{TRACE_ID}-b7ad6b7169203331-01", "ÿ" * 55]
)
def test_nonsense_in_the_header_reaches_nobody(sent: str, notes: Notes) -> None:
    assert SessionSpan("session", "native", "s", "live", sent).traceparent != sent
    assert notes.spans[0].parent == ""
    fresh = tracing.accepted(sent)
    assert tracing.is_traceparent(fresh)
    assert not tracing.is_sampled(fresh)


def test_without_a_tracer_a_callers_trace_passes_through() -> None:
    assert tracing.tracer() is None
    span = SessionSpan("session", "native", "s", "live", CALLER)
    assert span.traceparent == CALLER
    span.received(Event("s", SessionEnded(), "denoise", 1, "s/denoise/1", 1.0, 1.0, CALLER))
    span.end()


def test_a_missing_library_is_one_sentence_and_exit_status_2() -> None:
    script = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "import os; os.environ |= {'VOXRELAY_TRACES_ENDPOINT': 'http://127.0.0.1:4318', 'VOXRELAY_KAFKA_BOOTSTRAP': '127.0.0.1:1'}\n"
        "from services.denoise.compose import compose; from voxrelay.process import main\n"
        "main('denoise', compose)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'voxrelay[tracing]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_edges_are_those_of_the_picture() -> None:
    assert ("gateway", "denoise") in edges()
    assert ("transcribe", "classify.text") in edges()
    assert ("gateway", "transcribe") not in edges()
    assert len(edges()) == 19
