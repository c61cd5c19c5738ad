"""What only the in-memory bus has to promise: bounds."""

from __future__ import annotations

import pytest

from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import TRIM_EVERY, UNREAD_RECORDS, MemoryBus
from voxrelay.bus.partitioner import murmur2
from voxrelay.errors import Unavailable
from voxrelay.topology import TopicSpec


class Silent:
    def assigned(self, sources):  # type: ignore[no-untyped-def]
        return {}

    def revoked(self, sources):  # type: ignore[no-untyped-def]
        pass

    lost = revoked


def make_bus(policy: str = "delete", **options: int) -> MemoryBus:
    bus = MemoryBus(**options)
    bus.create_topics([TopicSpec("t", 1, {"cleanup.policy": policy}, "")])
    return bus


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # from Apache Kafka's UtilsTest.testMurmur2, as unsigned
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected % 2**32


def test_what_every_group_committed_is_dropped() -> None:
    bus = make_bus()
    consumer = bus.subscribe("g", ["t"], Silent())
    producer = bus.producer()
    for _ in range(TRIM_EVERY - 1):
        producer.send("t", b"k", b"v")
    consumer.poll(1000, 0)
    consumer.commit({TopicPartition("t", 0): 200})
    producer.send("t", b"k", b"v")
    assert bus.offsets([TopicPartition("t", 0)]) == {TopicPartition("t", 0): (200, TRIM_EVERY)}


def test_a_topic_nobody_reads_keeps_its_newest_records_only() -> None:
    bus = make_bus()
    producer = bus.producer()
    for _ in range(UNREAD_RECORDS + 3 * TRIM_EVERY):
        producer.send("t", b"k", b"v")
    start, end = bus.offsets([TopicPartition("t", 0)])[TopicPartition("t", 0)]
    assert end - start <= UNREAD_RECORDS + TRIM_EVERY


def test_a_slow_reader_is_never_cheated_and_a_full_log_refuses() -> None:
    bus = make_bus(max_bytes=100_000)
    reader = bus.read({TopicPartition("t", 0): "earliest"})
    producer = bus.producer()
    with pytest.raises(Unavailable, match="full"):
        for _ in range(1000):
            producer.send("t", b"k", b"v" * 100)
    seen = []
    while records := reader.poll(500, 0):
        seen.extend(record.offset for record in records)
    assert seen == list(range(len(seen)))
    for _ in range(100):
        producer.send("t", b"k", b"v" * 100)


def test_a_compacted_topic_keeps_the_newest_of_each_key_and_its_end() -> None:
    bus = make_bus("compact")
    producer = bus.producer()
    for number in range(2 * TRIM_EVERY):
        producer.send("t", b"k%d" % (number % 3), b"%d" % number)
    reader = bus.read({TopicPartition("t", 0): "earliest"})
    records = reader.poll(1000, 0)
    assert {record.key for record in records} == {b"k0", b"k1", b"k2"}
    assert len(records) <= 3
    assert records[-1].offset == 2 * TRIM_EVERY - 1
