"""A small stage with real state, and a fake of everything around the runner that may fail."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from voxrelay.bus.api import Bus, Consumer, Headers, Producer, Rebalance, Record, TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import AudioDenoised, AudioReceived, Event, SessionEnded, SessionOpened, StageFinished, UtteranceEnded, UtteranceStarted


class CountingStage:
    """Every fourth chunk starts an utterance, the second after it ends it; state is a counter, saved outside utterances only."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.fail: Callable[[Event], None] = lambda event: None

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            self.fail(event)
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened):
                self.counts[session] = 0
                yield Event(session, payload)
            elif session not in self.counts:
                continue
            elif isinstance(payload, AudioReceived):
                self.counts[session] += 1
                yield from self._count(session, self.counts[session], payload)
            elif isinstance(payload, SessionEnded):
                yield Event(session, StageFinished("denoise", self.counts[session]))
                yield Event(session, payload)

    def _count(self, session: str, count: int, payload: AudioReceived) -> Iterable[Event]:
        yield Event(session, AudioDenoised(count, payload.pcm_s16le))
        if count % 4 == 0:
            yield Event(session, UtteranceStarted(f"u{count // 4}", count))
        if count % 4 == 2 and count > 4:
            yield Event(session, UtteranceEnded(f"u{count // 4}", count - 2, count))

    def snapshot(self, session_id: str) -> bytes | None:
        count = self.counts[session_id]
        return None if count >= 4 and count % 4 < 2 else json.dumps(count).encode()

    def restore(self, session_id: str, state: bytes) -> None:
        self.counts[session_id] = json.loads(state)

    def forget(self, session_id: str) -> None:
        self.counts.pop(session_id, None)


class Died(Exception):
    """The process is gone at this point: nothing after it happens."""


class FaultyBus:
    """A memory bus whose clients die, or see the log out of reach, at moments drawn from a seeded generator."""

    def __init__(self, bus: MemoryBus, random_source: random.Random, death: float, outage: float) -> None:
        self._bus, self._random, self._death, self._outage = bus, random_source, death, outage
        self.is_calm = False

    def strike(self) -> None:
        if self.is_calm:
            return
        drawn = self._random.random()
        if drawn < self._death:
            raise Died
        if drawn < self._death + self._outage:
            raise Unavailable("A fault of the test.")

    def draw(self, most: int) -> int:
        return self._random.randint(0, most)

    def producer(self, *, linger_ms: float = 0.0) -> Producer:
        return _FaultyProducer(self, self._bus.producer())

    def subscribe(self, group: str, topics: Sequence[str], rebalance: Rebalance) -> Consumer:
        return _FaultyConsumer(self, self._bus.subscribe(group, topics, rebalance))

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(self._bus, name)


class _FaultyProducer:
    """What was sent is on its way until it is flushed. An outage may lose the end of it, or only hold it back."""

    def __init__(self, faults: FaultyBus, inner: Producer) -> None:
        self._faults, self._inner = faults, inner
        self._on_its_way: list[Callable[[], None]] = []

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers = (), *, partition: int | None = None, on_delivered=None) -> None:  # type: ignore[no-untyped-def]
        self._faults.strike()
        self._on_its_way.append(partial(self._inner.send, topic, key, value, headers, partition=partition, on_delivered=on_delivered))

    def report(self) -> None:
        self._inner.report()

    def flush(self, timeout_s: float = 30.0) -> None:
        try:
            self._faults.strike()
        except (Died, Unavailable):
            self._deliver(self._faults.draw(len(self._on_its_way)))
            if self._faults.draw(1):
                self._on_its_way.clear()
            raise
        self._deliver(len(self._on_its_way))

    def _deliver(self, count: int) -> None:
        for send in self._on_its_way[:count]:
            send()
        del self._on_its_way[:count]

    def close(self) -> None:
        pass


class _FaultyConsumer:
    def __init__(self, faults: FaultyBus, inner: Consumer) -> None:
        self._faults, self._inner = faults, inner

    def poll(self, max_records: int = 500, timeout_s: float = 0.1) -> list[Record]:
        return self._inner.poll(max_records if self._faults.is_calm else self._faults._random.randint(1, 40), 0.001)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._faults.strike()
        self._inner.commit(offsets)

    def committed(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._inner.committed(sources)

    def seek(self, source: TopicPartition, offset: int) -> None:
        self._inner.seek(source, offset)

    def ends(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self._inner.ends(sources)

    def pause(self, sources: Collection[TopicPartition]) -> None:
        self._inner.pause(sources)

    def resume(self, sources: Collection[TopicPartition]) -> None:
        self._inner.resume(sources)

    def close(self) -> None:
        self._inner.close()


__all__ = ["Bus", "CountingStage", "Died", "FaultyBus", "Poison"]
