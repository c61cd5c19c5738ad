"""Many sessions that read the log at the same time share the readings, and each gets its own records, whole and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial

import pytest

from services.gateway.sessions.shared_reading import SharedReading
from voxrelay import codec
from voxrelay.bus.api import Consumer, Start, TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.bus.partitioner import partition_of
from voxrelay.errors import Unavailable
from voxrelay.events import AudioReceived, Event
from voxrelay.topology import AUDIO_RECEIVED, topic_specs

TOPIC = AUDIO_RECEIVED.name("live")
SESSIONS = [name for name in (f"session-{number}" for number in range(200)) if partition_of(name.encode(), 4) == 1][:20]


class CountingBus(MemoryBus):
    readings = 0

    def read(self, starts: Mapping[TopicPartition, Start], keys: Collection[bytes] | None = None) -> Consumer:
        self.readings += 1
        return super().read(starts, keys)


@pytest.fixture
def bus() -> CountingBus:
    made = CountingBus()
    made.create_topics(topic_specs(4))
    return made


def send(bus: MemoryBus, session_id: str, sequence: int) -> None:
    event = Event(session_id, AudioReceived(sequence * 10, b"\0\0"), "gateway", sequence, f"{session_id}/{sequence}", 1.0, 1.0)
    bus.producer().send(TOPIC, *codec.encode(event, AUDIO_RECEIVED.encoding))


def test_twenty_sessions_of_a_partition_cost_a_few_readings_and_each_gets_its_own(bus: CountingBus) -> None:
    for sequence in (1, 2, 3):
        for name in SESSIONS:
            send(bus, name, sequence)
    found: dict[str, list[Event]] = {name: [] for name in SESSIONS}

    async def run() -> None:
        reading = SharedReading(bus)
        await asyncio.gather(*(reading.read(name, (TOPIC,), 1, 0.0, found[name].append) for name in SESSIONS))

    asyncio.run(run())
    assert bus.readings <= 2
    assert all([(event.session_id, event.sequence) for event in events] == [(name, n) for n in (1, 2, 3)] for name, events in found.items())


def test_reading_on_from_the_ends_brings_what_has_come_since(bus: CountingBus) -> None:
    name = SESSIONS[0]
    found: list[int] = []

    async def run() -> None:
        reading = SharedReading(bus)
        read = partial(reading.read, name, (TOPIC,), 1, take=lambda event: found.append(event.sequence))
        send(bus, name, 1)
        ends = await read(since=0.0)
        assert (found, bus.readings) == ([1], 1)
        assert await read(since=ends) == ends
        assert (found, bus.readings) == ([1], 1)  # nothing has come: nothing is read
        send(bus, name, 2)
        await read(since=ends)
        assert found == [1, 2]

    asyncio.run(run())


def test_a_log_that_does_not_answer_is_told_to_everybody_who_waits_and_the_next_one_is_served(
    bus: CountingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(bus, SESSIONS[0], 1)
    found: list[Event] = []

    async def run() -> None:
        reading = SharedReading(bus)
        with monkeypatch.context() as patched:
            patched.setattr(bus, "offsets", lambda _: (_ for _ in ()).throw(Unavailable("No broker answers.")))
            answers = await asyncio.gather(*(reading.read(name, (TOPIC,), 1, 0.0, found.append) for name in SESSIONS[:3]), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        await reading.read(SESSIONS[0], (TOPIC,), 1, 0.0, found.append)

    asyncio.run(run())
    assert [event.sequence for event in found] == [1]


def test_whoever_gives_up_waiting_keeps_nobody_else_from_the_answer(bus: CountingBus) -> None:
    for name in SESSIONS[:2]:
        send(bus, name, 1)
    found: list[Event] = []

    async def run() -> None:
        reading = SharedReading(bus)
        impatient = asyncio.ensure_future(reading.read(SESSIONS[0], (TOPIC,), 1, 0.0, lambda _: None))
        patient = asyncio.ensure_future(reading.read(SESSIONS[1], (TOPIC,), 1, 0.0, found.append))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient

    asyncio.run(run())
    assert [event.session_id for event in found] == [SESSIONS[1]]
