"""The transcribe service over a real Kafka: models are exchanged, one hears in the shadow, one fails, the process is killed and another takes
over; the words stay."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from services.replay import replay
from services.transcribe.stage import TranscribeStage
from tests.integration.exchangeable import DigestTranscriber
from tests.published import Cleaned, Finals
from tests.unit.transcribe.test_stage import audio
from voxrelay import codec
from voxrelay.bus.kafka import KafkaBus
from voxrelay.events import (
    AudioReceived,
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
from voxrelay.models.comparison import Texts, differences, published, shadowed
from voxrelay.models.operations import ModelOperations
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot, part_of
from voxrelay.runner.checkpoints import CheckpointLog
from voxrelay.settings import PlatformSettings
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED, DENOISE, Topic, checkpoint_topic, topic_specs

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

REPOSITORY = Path(__file__).resolve().parents[2]
SESSIONS = 3  # of each kind
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


def received(number: int) -> list[Payload]:
    """Eight chunks of noise, each another."""
    return [AudioReceived(chunk * CHUNK, noise(chunk)) for chunk in range(number * 8, number * 8 + 8)]


def noise(chunk: int) -> bytes:
    return np.random.default_rng(chunk).integers(-4000, 4000, CHUNK, dtype="<i2").tobytes()


def on_both_sides() -> list[str]:
    """Sessions that a candidate for half of them gets, and as many that it does not."""
    drawn = [uuid.uuid4().hex for _ in range(64)]
    sides = [[session for session in drawn if (part_of(session) < 0.5) is is_candidates] for is_candidates in (True, False)]
    return [session for side in sides for session in side[:SESSIONS]]


class Callers:
    """Speak one utterance after the other, all of them, until told to stop."""

    def __init__(self, bus: KafkaBus, sessions: list[str], topic: Topic = AUDIO_DENOISED, speech: Callable[[int], list[Payload]] = utterance) -> None:
        self._producer, self._sessions, self._topic, self._speech = bus.producer(), sessions, topic, speech
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
            for payload in self._speech(self.utterances):
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
                self._producer.send(self._topic.name("live"), *codec.encode(event, self._topic.encoding))
        self._producer.flush()


@pytest.fixture
def bus(kafka_bootstrap: str) -> KafkaBus:
    bus = KafkaBus(kafka_bootstrap)
    bus.create_topics(topic_specs(PlatformSettings().partitions))
    return bus


Serve = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def serve(bus: KafkaBus, kafka_bootstrap: str, tmp_path: Path) -> Iterator[Serve]:
    """A service as a process of its own, under a name."""
    started: list[subprocess.Popen[bytes]] = []

    def start(instance: str, service: str = "transcribe") -> subprocess.Popen[bytes]:
        own = {
            "VOXRELAY_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "VOXRELAY_INSTANCE": instance,
            "VOXRELAY_MODELS": str(tmp_path),
            "VOXRELAY_LANES": '["live"]',
            "VOXRELAY_CHECKPOINT_EVERY": "4",
            "VOXRELAY_TRANSCRIBE_ENGINE": "digest",
            "VOXRELAY_LOG_LEVEL": "error",
        }
        process = subprocess.Popen([sys.executable, "-m", "tests.integration.exchangeable", service], env={**os.environ, **own}, cwd=REPOSITORY)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(WITHIN_S)


def test_models_are_exchanged_under_load_and_a_replay_is_the_same_to_the_byte(bus: KafkaBus, serve: Serve, tmp_path: Path) -> None:
    log, registry = ActivationLog(bus), ModelRegistry(tmp_path)
    operations = ModelOperations(registry, log)
    for name in ("second", "third", "broken"):
        registry.add(ModelEntry(name, "transcribe", "digest", "engine", "MIT", "", options={"is_broken": name == "broken"}))
    registry.add(ModelEntry("mumbling", "transcribe", "digest", "engine", "MIT", "", options={"before": "hm"}))
    log.decide(ModelActivated("transcribe"))
    operations.shadow("mumbling")
    instance, begin_s = uuid.uuid4().hex[:8], time.time()

    def until(model: str, candidate: str = "", reason: str = "", shadow: str = "") -> None:
        wanted, deadline = (model, candidate, reason, shadow), time.monotonic() + WITHIN_S
        while not any((one.model, one.candidate, one.reason, one.shadow) == wanted for one in log.states() if one.instance == instance):
            assert time.monotonic() < deadline, log.states()
            time.sleep(0.05)

    def heard_in_shadow() -> Texts:
        """Something of every session, at least."""
        deadline, heard = time.monotonic() + WITHIN_S, dict[str, dict[str, str]]()
        while set(heard) != set(sessions):
            assert time.monotonic() < deadline, set(heard)
            said = shadowed(bus, begin_s, time.time() + 60).get("mumbling", {})
            heard = {session: texts for session, texts in said.items() if session in sessions}
        return heard

    first = serve(instance)
    sessions = on_both_sides()
    finals = Finals(bus, sessions)
    callers = Callers(bus, sessions)
    try:
        finals.until(lambda now: set(now.copies) == set(sessions))
        operations.activate("second")
        finals.until(lambda now: now.newest_models == {"second"})
        operations.activate("third", 0.5)
        finals.until(lambda now: now.newest_models == {"second", "third"})
        in_shadow = heard_in_shadow()
        replayed = replay(
            bus, TranscribeStage(EngineSlot("transcribe", DigestTranscriber(before="hm")), is_urgent=False), "live", begin_s, time.time()
        )
        operations.shadow("mumbling", 0.0)
        until("second", "third")
        operations.activate("broken")
        until("second", "third", "The model 'broken' could not be loaded (RuntimeError): check that its files fit its engine.")
        first.kill()
        first.wait(WITHIN_S)
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
    assert not any("mumbling" in finals.models(session) for session in sessions)  # it has answered nobody
    for heard in (in_shadow, {session: replayed.texts[session] for session in sessions}):  # beside the calls, and from the log while they went on
        compared = differences(published(bus, "live", begin_s, heard), heard)
        assert {one.session_id for one in compared} == set(sessions)
        assert {(one.wer, one.errors - one.utterances) for one in compared} == {(1.0, 0)}  # one word too many in each utterance


def test_a_session_of_denoise_keeps_its_model_through_an_activation_and_a_kill(bus: KafkaBus, serve: Serve, tmp_path: Path) -> None:
    """Two models with other delays: a sample too few or too many, or of the other model, would show."""
    log, registry = ActivationLog(bus), ModelRegistry(tmp_path)
    registry.add(ModelEntry("half", "denoise", "share", "engine", "MIT", "", options={"share": 0.5, "delay_hops": 5}))
    log.decide(ModelActivated("denoise"))
    instance = uuid.uuid4().hex[:8]
    first = serve(instance, "denoise")
    early, late = ([uuid.uuid4().hex for _ in range(SESSIONS)] for _ in range(2))
    cleaned = Cleaned(bus, (*early, *late))
    callers = [Callers(bus, early, AUDIO_RECEIVED, received)]
    producer, topic = bus.producer(), checkpoint_topic(DENOISE, "live")
    checkpoints = CheckpointLog(bus, producer, topic)

    def saved() -> set[str]:
        """Sessions whose model is settled: before that, a replay may choose anew (docs/adr/0010)."""
        return {one.session_id for found in checkpoints.read(range(bus.partitions(topic))).values() for one in found}

    try:
        cleaned.until(lambda now: all(len(now.copies[session]) > 10 for session in early))
        ModelOperations(registry, log).activate("half")
        deadline = time.monotonic() + WITHIN_S
        while not any(state.model == "half" for state in log.states() if state.instance == instance):
            assert time.monotonic() < deadline, log.states()
            time.sleep(0.05)
        callers.append(Callers(bus, late, AUDIO_RECEIVED, received))
        cleaned.until(lambda now: all(len(now.copies[session]) > 10 for session in late) and {*early, *late} <= saved())
        first.kill()
        first.wait(WITHIN_S)
        ModelOperations(registry, log).rollback("denoise")
        serve(instance, "denoise")
        before = {session: len(cleaned.copies[session]) for session in (*early, *late)}
        cleaned.until(lambda now: all(len(now.copies[session]) > count + 10 for session, count in before.items()))
    finally:
        for one in callers:
            one.stop()
        log.decide(ModelActivated("denoise"))
    cleaned.until(lambda now: all(any(payload.ends_session for payload in now.payloads[session].values()) for session in (*early, *late)))
    cleaned.close()
    producer.close()
    for sessions, caller, share in ((early, callers[0], 1.0), (late, callers[1], 0.5)):
        said = b"".join(noise(chunk) for chunk in range(caller.utterances * 8))
        for session in sessions:
            assert sorted(cleaned.copies[session]) == list(range(1, len(cleaned.copies[session]) + 1))
            assert all(len(set(values)) == 1 for values in cleaned.copies[session].values())
            heard = np.frombuffer(cleaned.pcm(session), dtype="<i2").astype(float)
            assert heard.size == len(said) // 2
            assert np.abs(heard - share * np.frombuffer(said, dtype="<i2")).max() <= 1.0
