"""The real transcribe stage over a real Kafka: models are exchanged, one fails, the process goes away and another takes over; the words stay."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.transcribe.engine import Transcriber
from services.transcribe.stage import TranscribeStage
from tests.published import Finals
from tests.unit.transcribe.test_exchange import Named
from tests.unit.transcribe.test_stage import audio
from voxrelay import codec
from voxrelay.bus.kafka import KafkaBus
from voxrelay.engines import EngineUnusable
from voxrelay.events import (
    Event,
    ModelActivated,
    Payload,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    UtteranceEnded,
)
from voxrelay.events import UtteranceStarted as Started
from voxrelay.models.activations import ActivationLog
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.operations import ModelOperations
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.process import ServiceThreads
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings
from voxrelay.topology import AUDIO_DENOISED, TRANSCRIBE, topic_specs

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

SESSIONS = 12
CHUNK = 1_600
WITHIN_S = 60.0


def utterance(number: int) -> list[Payload]:
    """Eight chunks with speech in the middle of them."""
    first = number * 8
    begin, end = (first + 1) * CHUNK, (first + 6) * CHUNK
    return [
        *audio(first, first + 2),
        Started(f"u{number}", begin),
        *audio(first + 2, first + 7),
        UtteranceEnded(f"u{number}", begin, end),
        *audio(first + 7, first + 8, 0.0),
    ]


class Callers:
    """Speak one utterance after the other, all of them, until told to stop."""

    def __init__(self, bus: KafkaBus, sessions: list[str]) -> None:
        self._producer, self._sessions = bus.producer(), sessions
        self._sequences: dict[str, int] = defaultdict(int)
        self._stop = threading.Event()
        self.utterances = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(WITHIN_S)

    def _run(self) -> None:
        self._say([SessionOpened(SessionConfig(interim_results=False))])
        while not self._stop.is_set():
            for payload in utterance(self.utterances):
                self._say([payload])
                time.sleep(0.02)
            self.utterances += 1
        self._say([SessionEnded()])

    def _say(self, payloads: list[Payload]) -> None:
        for session in self._sessions:
            for payload in payloads:
                self._sequences[session] += 1
                number = self._sequences[session]
                event = Event(session, payload, "denoise", number, f"{session}/denoise/{number}", time.time())
                self._producer.send(AUDIO_DENOISED.name("live"), *codec.encode(event, AUDIO_DENOISED.encoding))
        self._producer.flush()


@pytest.fixture
def bus(kafka_bootstrap: str) -> KafkaBus:
    bus = KafkaBus(kafka_bootstrap)
    bus.create_topics(topic_specs(PlatformSettings().partitions))
    return bus


Serve = Callable[[str], ServiceThreads]


@pytest.fixture
def serve(bus: KafkaBus) -> Iterator[Serve]:
    started: list[ServiceThreads] = []

    def load(model: str) -> Transcriber:
        if model == "broken":
            raise EngineUnusable("The engine 'scripted' needs the library nothing.")
        return Named(model)

    def start(instance: str) -> ServiceThreads:
        slot: EngineSlot[Transcriber] = EngineSlot("transcribe", Named("configured"), load)
        service = Service("transcribe", [StagePart(TRANSCRIBE, lambda _lane: TranscribeStage(slot))], slots=[slot])
        threads = ServiceThreads(bus, PlatformSettings(instance=instance, lanes=("live",), checkpoint_every=4), [service])
        threads.start()
        started.append(threads)
        return threads

    yield start
    for threads in started:
        threads.stop()


def test_models_are_exchanged_under_load_and_a_replay_is_the_same_to_the_byte(bus: KafkaBus, serve: Serve, tmp_path: Path) -> None:
    log, registry = ActivationLog(bus), ModelRegistry(tmp_path)
    operations = ModelOperations(registry, log)
    for name in ("second", "third", "broken"):
        registry.add(ModelEntry(name, "transcribe", "scripted", "engine", "MIT", ""))
    log.decide(ModelActivated("transcribe"))
    instance = uuid.uuid4().hex[:8]

    def until(model: str, candidate: str = "", reason: str = "") -> None:
        deadline = time.monotonic() + WITHIN_S
        while not any((one.model, one.candidate, one.reason) == (model, candidate, reason) for one in log.states() if one.instance == instance):
            assert time.monotonic() < deadline, log.states()
            time.sleep(0.05)

    first = serve(instance)
    finals = Finals(bus)
    sessions = [uuid.uuid4().hex for _ in range(SESSIONS)]
    callers = Callers(bus, sessions)
    try:
        finals.until(lambda now: set(now.copies) == set(sessions))
        operations.activate("second")
        finals.until(lambda now: now.newest_models == {"second"})
        operations.activate("third", 0.5)
        finals.until(lambda now: now.newest_models == {"second", "third"})
        operations.activate("broken")
        until("second", "third", "The engine 'scripted' needs the library nothing.")
        first.stop()
        serve(instance)
        operations.rollback("transcribe")
        until("second")
        operations.rollback("transcribe")
        finals.until(lambda now: now.newest_models == {""})
    finally:
        callers.stop()
        log.decide(ModelActivated("transcribe"))
    finals.until(lambda now: all(len(copies) == callers.utterances for copies in now.copies.values()))
    finals.close()
    for copies in finals.copies.values():
        assert sorted(copies) == list(range(1, callers.utterances + 1))
        assert all(len(set(values)) == 1 for values in copies.values())
    assert len({tuple(finals.texts(session)) for session in sessions}) == 1  # all said the same, whichever models heard them
    assert all(finals.models(session)[0] == "" and "second" in finals.models(session) for session in sessions)
