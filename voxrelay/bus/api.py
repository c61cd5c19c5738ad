"""What the platform needs of a log of records: Apache Kafka's model, with nothing in it that only Kafka could do.

Two implementations pass one suite (tests/contracts/test_bus.py): ``memory`` for one process, ``kafka`` for many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from voxrelay.topology import TopicSpec

Headers = Sequence[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    source: TopicPartition
    offset: int
    key: bytes
    value: bytes | None  # None is a tombstone on a compacted topic
    headers: Headers
    timestamp_ms: int

    @property
    def topic(self) -> str:
        return self.source.topic

    @property
    def partition(self) -> int:
        return self.source.partition


class Producer(Protocol):
    """Idempotent, acks=all, in order for each partition. Thread-safe."""

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
        """Hand a record over without waiting. The partition is murmur2 of the key unless given.

        ``on_delivered`` is called once, with None once the record is committed to the log: by ``report``, ``flush`` or ``close``, or at once.
        Raises ``Unavailable`` when the local queue is full.
        """
        ...

    def report(self) -> None:
        """Make the calls of ``on_delivered`` that are due, in this thread, without waiting."""
        ...

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was sent is committed. Raises ``Unavailable`` if anything sent since the last flush was not."""
        ...

    def close(self) -> None: ...


class Consumer(Protocol):
    """Used by one thread. Callbacks of a group run inside ``poll`` and ``close``."""

    def poll(self, max_records: int = 500, timeout_s: float = 0.1) -> list[Record]:
        """Waits up to ``timeout_s`` for the first record and takes what else is there.

        Raises ``Unavailable`` when the log is out of reach: then nothing was taken, and the same records come again.
        """
        ...

    def seek(self, source: TopicPartition, offset: int) -> None:
        """The next record polled from this assigned partition is the one at ``offset`` or the first after it."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Make these the group's restart positions, without waiting; a lost commit only means more replay.

        About once a second and no oftener: a broker answers them one after the other, and the member's heartbeats wait behind them.
        """
        ...

    def committed(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's restart positions of those partitions that have one. Waits for the answer."""
        ...

    def ends(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the newest record this consumer knows of, of those assigned partitions where it knows one; asks nobody."""
        ...

    def pause(self, sources: Collection[TopicPartition]) -> None: ...

    def resume(self, sources: Collection[TopicPartition]) -> None: ...

    def close(self) -> None:
        """Leave the group; ``on_revoked`` is called for what was still assigned."""
        ...


class Rebalance(Protocol):
    """What a group member does when partitions come and go. Called inside ``poll`` and ``close``."""

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Prepare; give the offsets to start from. Other partitions start at the committed one, or at the earliest."""
        ...

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        """Finish and commit what is in hand: after this another member owns them."""
        ...

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        """Another member owns them already: drop everything, commit nothing."""
        ...


Start = int | Literal["earliest", "latest"]


class Bus(Protocol):
    """A log and its groups. Thread-safe."""

    @property
    def outlives_process(self) -> bool:
        """Whether another process finds the records when this one is gone."""
        ...

    def producer(self, *, linger_ms: float = 0.0) -> Producer: ...

    def subscribe(self, group: str, topics: Sequence[str], rebalance: Rebalance) -> Consumer:
        """A member of ``group``. Without a committed offset it starts at the earliest record."""
        ...

    def read(self, starts: Mapping[TopicPartition, Start], keys: Collection[bytes] | None = None) -> Consumer:
        """A consumer of exactly these partitions, in no group. Where ``keys`` are given, other records may come without value and headers."""
        ...

    def partitions(self, topic: str) -> int:
        """Raises ``Unavailable`` when the topic does not exist or the log is out of reach."""
        ...

    def offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """The earliest offset and the one after the newest, by partition."""
        ...

    def offsets_at(self, sources: Collection[TopicPartition], time_s: float) -> dict[TopicPartition, int]:
        """The first record written at this wall-clock time or later, by partition; the end where there is none."""
        ...

    def lag(self, group: str, topics: Collection[str]) -> int:
        """Records between the group's committed offsets and the end of the topics."""
        ...

    def create_topics(self, specs: Sequence[TopicSpec], replication: int = 1) -> list[str]:
        """Create those that are missing, add partitions and settings where they differ; the names that changed."""
        ...

    def topics(self) -> dict[str, int]:
        """Name and number of partitions of every topic."""
        ...

    def close(self) -> None: ...
