"""The bus inside one process: topics are lists, groups are dictionaries. Nothing survives the process.

Bounded: records that every group has committed and every reader has passed are dropped, topics nobody reads keep their newest
records only, and a full log refuses new ones (``Unavailable``) instead of growing.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition, RLock

from voxrelay.bus.api import Consumer, Headers, Producer, Rebalance, Record, Start, TopicPartition
from voxrelay.bus.partitioner import partition_of
from voxrelay.errors import Unavailable
from voxrelay.topology import TopicSpec

MAX_BYTES = 512 * 1024 * 1024
UNREAD_RECORDS = 10_000
TRIM_EVERY = 256


@dataclass(slots=True)
class _Partition:
    is_compacted: bool
    retention_ms: int
    records: list[Record] = field(default_factory=list)
    end: int = 0  # offset of the next record
    appended: int = 0  # since the last trimming

    @property
    def start(self) -> int:
        return self.records[0].offset if self.records else self.end

    def index(self, offset: int) -> int:
        """Where the first record at or behind ``offset`` stands. Offsets are dense unless the topic is compacted."""
        if not self.records:
            return 0
        if not self.is_compacted:
            return max(0, offset - self.records[0].offset)
        low, high = 0, len(self.records)
        while low < high:
            middle = (low + high) // 2
            if self.records[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return low


@dataclass(slots=True)
class _Group:
    members: list[_GroupConsumer] = field(default_factory=list)
    owners: dict[TopicPartition, _GroupConsumer] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)


def _size(record: Record) -> int:
    return len(record.value or b"") + 400  # key, headers and the objects around them


class MemoryBus:
    """One lock around everything: what is done under it is short."""

    outlives_process = False

    def __init__(self, clock: Callable[[], float] = time.time, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = RLock()
        self._topics: dict[str, list[_Partition]] = {}
        self._groups: dict[str, _Group] = {}
        self._readers: dict[str, set[_MemoryConsumer]] = {}
        self._bytes = 0

    # --- Bus ---------------------------------------------------------------------------------------------------------

    def producer(self, *, linger_ms: float = 0.0) -> Producer:  # noqa: ARG002  # records are never held back here
        return _MemoryProducer(self)

    def subscribe(self, group: str, topics: Sequence[str], rebalance: Rebalance) -> Consumer:
        with self._lock:
            for topic in topics:
                self._partitions(topic)
            state = self._groups.setdefault(group, _Group())
            member = _GroupConsumer(self, state, tuple(topics), rebalance)
            state.members.append(member)
            self._register(member, topics)
            _wake(state.members)
            return member

    def read(self, starts: Mapping[TopicPartition, Start], keys: Collection[bytes] | None = None) -> Consumer:  # noqa: ARG002  # whole ones cost nothing
        with self._lock:
            reader = _MemoryConsumer(self)
            for source, start in starts.items():
                partition = self._partition(source)
                reader.positions[source] = partition.start if start == "earliest" else partition.end if start == "latest" else start
            self._register(reader, [source.topic for source in starts])
            return reader

    def partitions(self, topic: str) -> int:
        with self._lock:
            return len(self._partitions(topic))

    def offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        with self._lock:
            return {source: (self._partition(source).start, self._partition(source).end) for source in sources}

    def offsets_at(self, sources: Collection[TopicPartition], time_s: float) -> dict[TopicPartition, int]:
        with self._lock:
            return {source: self._first_at(self._partition(source), int(time_s * 1000)) for source in sources}

    @staticmethod
    def _first_at(partition: _Partition, timestamp_ms: int) -> int:
        at = bisect_left(partition.records, timestamp_ms, key=lambda record: record.timestamp_ms)
        return partition.records[at].offset if at < len(partition.records) else partition.end

    def lag(self, group: str, topics: Collection[str]) -> int:
        with self._lock:
            committed = self._groups.get(group, _Group()).committed
            sources = [TopicPartition(topic, number) for topic in topics for number in range(len(self._partitions(topic)))]
            return sum(self._partition(s).end - committed.get(s, self._partition(s).start) for s in sources)

    def create_topics(self, specs: Sequence[TopicSpec], replication: int = 1) -> list[str]:  # noqa: ARG002  # one process, one copy
        changed = []
        with self._lock:
            for spec in specs:
                existing = self._topics.setdefault(spec.name, [])
                if len(existing) < spec.partitions:
                    changed.append(spec.name)
                is_compacted = "compact" in spec.config.get("cleanup.policy", "delete")
                retention_ms = int(spec.config.get("retention.ms", "86400000"))
                existing.extend(_Partition(is_compacted, retention_ms) for _ in range(spec.partitions - len(existing)))
        return changed

    def topics(self) -> dict[str, int]:
        with self._lock:
            return {name: len(partitions) for name, partitions in self._topics.items()}

    def close(self) -> None:
        with self._lock:
            self._topics.clear()
            self._bytes = 0

    # --- what producers and consumers call ------------------------------------------------------------------------------

    def append(self, topic: str, key: bytes, value: bytes | None, headers: Headers, number: int | None) -> None:
        with self._lock:
            partitions = self._partitions(topic)
            number = partition_of(key, len(partitions)) if number is None else number
            source = TopicPartition(topic, number)
            partition = self._partition(source)
            if self._bytes > self._max_bytes:
                self._trim_all()
                if self._bytes > self._max_bytes:
                    raise Unavailable("The in-memory log is full: consumers do not keep up.")
            record = Record(source, partition.end, key, value, tuple(headers), int(self._clock() * 1000))
            partition.records.append(record)
            partition.end += 1
            self._bytes += _size(record)
            partition.appended += 1
            if partition.appended >= TRIM_EVERY:
                self._trim(source, partition)
            readers = tuple(self._readers.get(topic, ()))
        _wake(readers)

    def take(self, consumer: _MemoryConsumer, max_records: int) -> list[Record]:
        with self._lock:
            taken: list[Record] = []
            sources = [source for source in consumer.positions if source not in consumer.paused]
            share = max(1, max_records // max(1, len(sources)))
            for limit in (share, max_records):  # every partition its share first, then what is left over
                for source in sources:
                    room = min(limit, max_records - len(taken))
                    if room <= 0:
                        break
                    partition = self._partition(source)
                    first = partition.index(consumer.positions[source])
                    found = partition.records[first : first + room]
                    if found:
                        consumer.positions[source] = found[-1].offset + 1
                        taken.extend(found)
            return taken

    def leave(self, consumer: _MemoryConsumer) -> None:
        with self._lock:
            for readers in self._readers.values():
                readers.discard(consumer)

    def settle_group(self, member: _GroupConsumer) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """What this member must give up, and what of its share has no other owner any more."""
        with self._lock:
            group = member.group
            rank, count = group.members.index(member), len(group.members)
            share = {
                TopicPartition(topic, number) for topic in member.topics for number in range(len(self._partitions(topic))) if number % count == rank
            }
            surplus = [source for source in member.positions if source not in share]
            free = [source for source in share if source not in group.owners]
            for source in free:
                group.owners[source] = member
            return surplus, sorted(free)

    def lock(self) -> RLock:
        return self._lock

    def start_of(self, source: TopicPartition) -> int:
        return self._partition(source).start

    # --- bookkeeping -----------------------------------------------------------------------------------------------------

    def _partitions(self, topic: str) -> list[_Partition]:
        if topic not in self._topics:
            raise Unavailable(f"There is no topic {topic}: run 'voxrelay topics create'.")
        return self._topics[topic]

    def _partition(self, source: TopicPartition) -> _Partition:
        return self._partitions(source.topic)[source.partition]

    def _register(self, consumer: _MemoryConsumer, topics: Collection[str]) -> None:
        for topic in topics:
            self._readers.setdefault(topic, set()).add(consumer)

    def _trim_all(self) -> None:
        for topic, partitions in self._topics.items():
            for number, partition in enumerate(partitions):
                self._trim(TopicPartition(topic, number), partition)

    def _trim(self, source: TopicPartition, partition: _Partition) -> None:
        partition.appended = 0
        if partition.is_compacted:
            partition.records, dropped = self._compact(partition)
        else:
            passed = self._passed(source, partition)
            dropped = partition.records[:passed]
            del partition.records[:passed]
        self._bytes -= sum(map(_size, dropped))

    def _compact(self, partition: _Partition) -> tuple[list[Record], list[Record]]:
        """The records that stay, and those that go."""
        oldest_ms = int(self._clock() * 1000) - partition.retention_ms
        newest = {record.key: record.offset for record in partition.records}
        last = partition.end - 1  # always kept, so that a reader of the whole partition can tell when it is through
        kept: list[Record] = []
        dropped: list[Record] = []
        for record in partition.records:
            is_newest = newest[record.key] == record.offset and record.value is not None and record.timestamp_ms >= oldest_ms
            (kept if record.offset == last or is_newest else dropped).append(record)
        return kept, dropped

    def _passed(self, source: TopicPartition, partition: _Partition) -> int:
        """Index of the first record somebody may still want."""
        wanted = [reader.positions[source] for reader in self._readers.get(source.topic, ()) if source in reader.positions]
        for group in self._groups.values():
            if source in group.committed or any(source.topic in member.topics for member in group.members):
                wanted.append(group.committed.get(source, partition.start))
        if not wanted:
            return max(0, len(partition.records) - UNREAD_RECORDS)
        return min(partition.index(min(wanted)), len(partition.records))


def _wake(consumers: Collection[_MemoryConsumer]) -> None:
    for consumer in consumers:
        with consumer.news:
            consumer.has_news = True
            consumer.news.notify()


class _MemoryProducer:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    def send(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
        *,
        partition: int | None = None,
        on_delivered: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self._bus.append(topic, key, value, headers, partition)
        if on_delivered is not None:
            on_delivered(None)

    def report(self) -> None:
        """Everything is reported when it is sent."""

    def flush(self, timeout_s: float = 30.0) -> None:
        """Nothing is ever in flight."""

    def close(self) -> None:
        """Nothing is held."""


class _MemoryConsumer:
    """A reader of fixed partitions; ``_GroupConsumer`` adds the group."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.news = Condition()
        self.has_news = False

    def poll(self, max_records: int = 500, timeout_s: float = 0.1) -> list[Record]:
        records = self.bus.take(self, max_records)
        if records or timeout_s <= 0:
            return records
        with self.news:
            if not self.has_news:
                self.news.wait(timeout_s)
            self.has_news = False
        return self.bus.take(self, max_records)

    def seek(self, source: TopicPartition, offset: int) -> None:
        with self.bus.lock():
            self.positions[source] = offset

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:  # noqa: ARG002  # the interface's
        raise TypeError("a reader without a group has nothing to commit")

    def committed(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:  # noqa: ARG002  # the interface's
        return {}

    def ends(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {source: end for source, (_, end) in self.bus.offsets(sources).items()}

    def pause(self, sources: Collection[TopicPartition]) -> None:
        self.paused.update(sources)

    def resume(self, sources: Collection[TopicPartition]) -> None:
        self.paused.difference_update(sources)
        _wake([self])

    def close(self) -> None:
        self.bus.leave(self)


class _GroupConsumer(_MemoryConsumer):
    def __init__(self, bus: MemoryBus, group: _Group, topics: tuple[str, ...], rebalance: Rebalance) -> None:
        super().__init__(bus)
        self.group, self.topics, self._rebalance = group, topics, rebalance
        self._is_closed = False

    def poll(self, max_records: int = 500, timeout_s: float = 0.1) -> list[Record]:
        self._settle()
        return super().poll(max_records, timeout_s)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        with self.bus.lock():
            self.group.committed.update(offsets)

    def committed(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        with self.bus.lock():
            return {source: self.group.committed[source] for source in sources if source in self.group.committed}

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._give_up(list(self.positions))
        with self.bus.lock():
            self.group.members.remove(self)
            others = tuple(self.group.members)
        _wake(others)
        super().close()

    def _settle(self) -> None:
        surplus, gained = self.bus.settle_group(self)
        self._give_up(surplus)
        if gained:
            starts = self._rebalance.assigned(gained)
            with self.bus.lock():
                for source in gained:
                    committed = self.group.committed.get(source, self.bus.start_of(source))
                    self.positions[source] = starts.get(source, committed)

    def _give_up(self, sources: list[TopicPartition]) -> None:
        if not sources:
            return
        self._rebalance.revoked(sources)
        with self.bus.lock():
            for source in sources:
                self.positions.pop(source, None)
                self.paused.discard(source)
                self.group.owners.pop(source, None)
            others = tuple(self.group.members)
        _wake(others)
