"""The runner in a process of its own over a real broker: killed, stopped and restarted, its output stays the same."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_services.stack import Stack

from voxrelay import codec
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.kafka import KafkaBus
from voxrelay.events import AudioDenoised, AudioReceived, Event, Payload, SessionConfig, SessionEnded, SessionOpened
from voxrelay.process import FENCED
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED, dead_letter_topic, topic_specs

pytestmark = [pytest.mark.services, pytest.mark.slow]

CHUNKS = 150
SESSIONS = 4
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def bus(kafka_bootstrap: str) -> KafkaBus:
    bus = KafkaBus(kafka_bootstrap)
    bus.create_topics(topic_specs(8))
    return bus


@pytest.fixture
def stack(kafka_bootstrap: str, bus: KafkaBus, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, {"VOXRELAY_KAFKA_BOOTSTRAP": kafka_bootstrap}, ("denoise",), {"denoise": ("benchmarks.passthrough", "denoise")})
    stack.start()
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


def payloads() -> list[Payload]:
    return [SessionOpened(SessionConfig()), *(AudioReceived(n * 160, n.to_bytes(2, "little") * 160) for n in range(CHUNKS)), SessionEnded()]


class Outputs:
    """What a reader of audio.denoised keeps of some sessions."""

    def __init__(self, bus: KafkaBus, sessions: list[str]) -> None:
        topic = AUDIO_DENOISED.name("live")
        self._reader = bus.read({TopicPartition(topic, number): "latest" for number in range(bus.partitions(topic))})
        self._sessions = set(sessions)
        self.seen: dict[str, dict[int, Event]] = defaultdict(dict)
        self.repeats = 0

    def poll(self) -> None:
        for record in self._reader.poll(500, 0.05):
            event = codec.decode(record.key, record.value, record.headers)
            if event.session_id not in self._sessions:
                continue
            known = self.seen[event.session_id].setdefault(event.sequence, event)
            assert (known.id, known.payload) == (event.id, event.payload)
            self.repeats += known is not event

    def wait_for_ends(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not all(self._has_ended(session) for session in self._sessions):
            assert time.monotonic() < deadline, {session: len(events) for session, events in self.seen.items()}
            self.poll()
        self._reader.close()

    def _has_ended(self, session: str) -> bool:
        events = self.seen.get(session, {})
        return bool(events) and isinstance(events[max(events)].payload, SessionEnded)


def speak(bus: KafkaBus, sessions: list[str], outputs: Outputs, at_step: Callable[[int], None]) -> None:
    producer = bus.producer()
    for step, payload in enumerate(payloads(), 1):
        for session in sessions:
            event = Event(session, payload, "gateway", step, f"{session}/gateway/{step}", time.time(), time.time())
            producer.send(AUDIO_RECEIVED.name("live"), *codec.encode(event, "protobuf"))
        producer.flush()
        outputs.poll()
        at_step(step)
    producer.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_and_restarted_it_says_the_same(seed: int, bus: KafkaBus, stack: Stack) -> None:
    sessions = [uuid.uuid4().hex for _ in range(SESSIONS)]
    outputs = Outputs(bus, sessions)
    deaths = sorted(random.Random(seed).sample(range(5, CHUNKS), 2))

    def at_step(step: int) -> None:
        if step in deaths:
            stack.kill("denoise")
            stack.restart("denoise")

    speak(bus, sessions, outputs, at_step)
    outputs.wait_for_ends()
    for session in sessions:
        events = [outputs.seen[session][sequence] for sequence in sorted(outputs.seen[session])]
        audio = [event.payload for event in events if isinstance(event.payload, AudioDenoised)]
        assert [chunk.pcm_s16le[:2] for chunk in audio] == [n.to_bytes(2, "little") for n in range(CHUNKS)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))[: len(events)] or len(events) == CHUNKS + 4


def test_poison_on_a_real_topic_is_buried_and_the_service_lives(bus: KafkaBus, stack: Stack) -> None:
    session = uuid.uuid4().hex
    outputs = Outputs(bus, [session])
    topic = AUDIO_RECEIVED.name("live")
    dead = dead_letter_topic(topic)
    graves = bus.read({TopicPartition(dead, number): "latest" for number in range(bus.partitions(dead))})
    producer = bus.producer()
    producer.send(topic, session.encode(), os.urandom(100), [("ce_type", b"voxrelay.v1.AudioReceived")])
    producer.flush()
    speak(bus, [session], outputs, lambda step: None)
    outputs.wait_for_ends()
    deadline = time.monotonic() + PATIENCE_S
    buried = []
    while not buried:
        assert time.monotonic() < deadline
        buried = [record for record in graves.poll(10, 0.1) if record.key == session.encode()]
    assert dict(buried[0].headers)["voxrelay_reason"]
    graves.close()
    producer.close()
    assert not stack.has_ended("denoise")


def test_a_process_whose_name_another_one_takes_ends_with_one_sentence(bus: KafkaBus, stack: Stack, kafka_bootstrap: str, tmp_path: Path) -> None:
    modules = {"denoise": ("benchmarks.passthrough", "denoise")}
    namesake = Stack(tmp_path / "namesake", {"VOXRELAY_KAFKA_BOOTSTRAP": kafka_bootstrap}, ("denoise",), modules)
    namesake.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not stack.has_ended("denoise"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert stack.exit_status("denoise") == 1
        said = stack.log_path("denoise").read_text()
        assert FENCED in said
        assert "fenced" in said
        assert "Traceback" not in said
        namesake.wait_ready()
        speak(bus, [session := uuid.uuid4().hex], outputs := Outputs(bus, [session]), lambda _: None)
        outputs.wait_for_ends()
    finally:
        namesake.stop()


def test_sigterm_saves_and_ends_with_status_zero(bus: KafkaBus, stack: Stack) -> None:
    stack.stop("denoise")
    assert stack.exit_status("denoise") == 0
    stack.start("denoise")
    stack.wait_ready("denoise")
