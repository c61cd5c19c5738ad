"""A real gateway on real sockets over the in-memory bus, with hand-written stages that need no engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from services.projector import rpc as archive
from services.projector.projection import ResultProjection
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import (
    Attribute,
    AudioDenoised,
    AudioReceived,
    Event,
    FinalizeRequested,
    SegmentClassified,
    SegmentDiarized,
    SegmentTranscribed,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    SpeakerSegment,
    StageFinished,
    SynthesisProduced,
    SynthesisRefused,
    SynthesisRequested,
    UtteranceEnded,
    UtteranceStarted,
    Word,
    WordSpoken,
)
from voxrelay.process import ServiceThreads
from voxrelay.service import ProjectionPart, Service, StagePart
from voxrelay.settings import PlatformSettings
from voxrelay.storage import database
from voxrelay.storage.access import AccessStore
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.migrations import migrate
from voxrelay.storage.views import Views
from voxrelay.topology import CLASSIFY, CLASSIFY_TEXT, DENOISE, DIARIZE, PROJECTOR, SYNTH, TRANSCRIBE, topic_specs

UTTERANCE_SAMPLES = SAMPLE_RATE_HZ  # the scripted denoise calls every second of audio an utterance


class _Scripted:
    """State and bookkeeping all scripted stages share: a number a session."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def snapshot(self, session_id: str) -> bytes | None:
        return None

    def restore(self, session_id: str, state: bytes) -> None:
        raise AssertionError("nothing is ever saved here")

    def forget(self, session_id: str) -> None:
        self.state.pop(session_id, None)


class ScriptedDenoise(_Scripted):
    """Every second is an utterance; finalize and the end close the one that is open."""

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened):
                self.state[session] = {"at": 0, "open": None, "count": 0, "config": payload.config}
                yield event
            elif session in self.state:
                yield from self._handle(session, payload, self.state[session])

    def _handle(self, session: str, payload: Any, state: dict[str, Any]) -> Iterator[Event]:
        if isinstance(payload, AudioReceived):
            samples = len(payload.pcm_s16le) // 2 // state["config"].channels * SAMPLE_RATE_HZ // state["config"].sample_rate_hz
            yield Event(session, AudioDenoised(state["at"], bytes(2 * samples)))
            while samples:
                if state["open"] is None:
                    state["count"] += 1
                    state["open"] = state["at"]
                    yield Event(session, UtteranceStarted(f"u{state['count']}", state["at"]))
                step = min(samples, state["open"] + UTTERANCE_SAMPLES - state["at"])
                state["at"] += step
                samples -= step
                if state["at"] == state["open"] + UTTERANCE_SAMPLES:
                    yield self._end(session, state, "pause")
        elif isinstance(payload, FinalizeRequested):
            if state["open"] is not None:
                yield self._end(session, state, "finalize")
            yield Event(session, payload)
        elif isinstance(payload, SessionConfigured):
            yield Event(session, payload)
        elif isinstance(payload, SessionEnded):
            if state["open"] is not None:
                yield self._end(session, state, "end")
            yield Event(session, SessionEnded(payload.reason, state["at"] / SAMPLE_RATE_HZ))
            yield Event(session, StageFinished("denoise", state["count"], state["at"] / SAMPLE_RATE_HZ))

    def _end(self, session: str, state: dict[str, Any], reason: Any) -> Event:
        ended = UtteranceEnded(f"u{state['count']}", state["open"], state["at"], reason)
        state["open"] = None
        return Event(session, ended)


class ScriptedResults(_Scripted):
    """An answer to every utterance of a session that asked for this stage, made by ``answer``."""

    def __init__(self, name: str, answer: Callable[[UtteranceEnded, Any], Sequence[Any]]) -> None:
        super().__init__()
        self._name, self._answer = name, answer

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened) and self._name in payload.config.stages:
                self.state[session] = payload.config
            elif session not in self.state:
                continue
            elif isinstance(payload, SessionConfigured):
                self.state[session] = payload.config
            elif isinstance(payload, UtteranceEnded):
                for result in self._answer(payload, self.state[session]):
                    yield Event(session, result)
            elif isinstance(payload, SessionEnded):
                yield Event(session, StageFinished(self._name, 1, payload.audio_seconds))


def transcribe(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
    start_s, end_s = ended.start_sample / SAMPLE_RATE_HZ, ended.end_sample / SAMPLE_RATE_HZ
    text = " ".join(["hello", ended.utterance_id, *config.custom_vocabulary])
    words = tuple(Word(word, start_s, end_s, 0.9) for word in text.split())
    interim = SegmentTranscribed(ended.utterance_id, 1, False, start_s, end_s, "hello", 0.5)
    return interim, SegmentTranscribed(ended.utterance_id, 2, True, start_s, end_s, text, 0.9, words, "en")


def diarize(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
    start_s, end_s = ended.start_sample / SAMPLE_RATE_HZ, ended.end_sample / SAMPLE_RATE_HZ
    speaker = f"S{(int(ended.utterance_id[1:]) - 1) % 2 + 1}"
    return (SegmentDiarized(ended.utterance_id, 1, True, start_s, end_s, (SpeakerSegment(speaker, start_s, end_s, 0.8),)),)


def classify(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
    attributes = (Attribute("gender", "female", 0.7), Attribute("pitch", 210.0, 0.9, "Hz"))
    return (SegmentClassified(ended.utterance_id, 1, True, 0.0, 1.0, attributes),)


class ScriptedText(_Scripted):
    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            if isinstance(event.payload, SegmentTranscribed) and event.payload.is_final:
                attributes = (Attribute("sentiment", "neutral", 0.6),)
                yield Event(event.session_id, SegmentClassified(event.payload.utterance_id, 1, True, 0.0, 1.0, attributes))
            elif isinstance(event.payload, StageFinished):
                yield Event(event.session_id, StageFinished("classify.text", 1))


class ScriptedSynth(_Scripted):
    """Three pieces of 1000 samples for every text, with its words in the first; 'nobody' is no voice; a text with HOLD waits to be released."""

    requests: ClassVar[list[SynthesisRequested]] = []  # of all gateways: a test looks for its own words
    release: ClassVar[threading.Event] = threading.Event()

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            asked = event.payload
            if not isinstance(asked, SynthesisRequested):
                continue
            self.requests.append(asked)
            if asked.voice == "nobody":
                yield Event(event.session_id, SynthesisRefused("UNKNOWN_VOICE", "There is no such voice."))
                continue
            if "HOLD" in asked.text:
                self.release.wait(20)
            rate_hz = asked.sample_rate_hz or 22_050
            words = tuple(WordSpoken(word, 0.01 * index) for index, word in enumerate(asked.text.split()))
            for index in range(3):
                said = words if index == 0 else ()
                yield Event(event.session_id, SynthesisProduced(index, index == 2, index * 1000, rate_hz, b"\x01\x02" * 1000, said))


def scripted_service() -> Service:
    parts = [
        StagePart(DENOISE, lambda lane: ScriptedDenoise()),
        StagePart(TRANSCRIBE, lambda lane: ScriptedResults("transcribe", transcribe)),
        StagePart(DIARIZE, lambda lane: ScriptedResults("diarize", diarize)),
        StagePart(CLASSIFY, lambda lane: ScriptedResults("classify", classify)),
        StagePart(CLASSIFY_TEXT, lambda lane: ScriptedText()),
        StagePart(SYNTH, lambda lane: ScriptedSynth()),
    ]
    return Service("scripted", parts)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts a gateway is marked as such."""
    for item in items:
        if {"gateway", "make_gateway"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.sockets)


@contextmanager
def gateways() -> Iterator[Callable[..., GatewayServer]]:
    """Gives what starts gateways; all are stopped at the end."""
    started: list[tuple[GatewayServer, ServiceThreads]] = []

    def make(leave_out: Sequence[str] = (), beside: GatewayServer | None = None, database_url: str = "", **changes: Any) -> GatewayServer:
        bus = beside._bus if beside else MemoryBus()
        bus.create_topics(topic_specs(4))
        service = scripted_service()
        projections = [ProjectionPart(PROJECTOR, lambda _lane: ResultProjection(database.connect(database_url)))] if database_url else []
        kept = Service("scripted", [part for part in service.stages if part.node.name not in leave_out], projections)
        threads = ServiceThreads(bus, PlatformSettings(), [] if beside else [kept])
        threads.start()
        settings = GatewaySettings(port=0, grpc_port=0, drain_s=0.0).model_copy(update=changes)
        views = Views(database.connect(database_url, is_read_only=True)) if database_url else None
        access = AccessStore(database_url) if database_url else None
        deletions = Deletions(database.connect(database_url)) if database_url else None
        server = GatewayServer(
            bus, settings, "127.0.0.1", {}, views, [partial(archive.add, views=views)] if views else (), access, deletions=deletions
        )
        if beside:
            server._gate._local_secret = beside._gate._local_secret
        server.start()
        started.append((server, threads))
        return server

    try:
        yield make
    finally:
        for server, threads in started:
            server.stop()
            threads.stop()


@pytest.fixture
def make_gateway() -> Iterator[Callable[..., GatewayServer]]:
    """``make_gateway(setting=value)`` gives a started gateway; ``leave_out`` names stages that shall never answer.

    ``beside`` is another gateway of the same platform. With a ``database_url`` results are stored there, and keys are taken from it.
    """
    with gateways() as make:
        yield make


def fresh_access(folder: Path) -> AccessStore:
    url = f"sqlite:///{folder / 'voxrelay.db'}"
    migrate(url)
    return AccessStore(url)


@pytest.fixture
def access(tmp_path: Path) -> Iterator[AccessStore]:
    """Keys, users and limits in a database of their own; its address is ``access.url``."""
    store = fresh_access(tmp_path)
    yield store
    store.close()


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayServer]:
    """One with the usual settings, for all tests of a file."""
    with gateways() as make:
        yield make()
