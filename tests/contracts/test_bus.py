"""What every bus promises (voxrelay/bus/api.py), on each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from voxrelay.bus.api import Bus, Consumer, Record, TopicPartition
from voxrelay.bus.partitioner import partition_of
from voxrelay.errors import Unavailable
from voxrelay.topology import TopicSpec

DELETE = {"cleanup.policy": "delete", "retention.ms": "3600000"}
PATIENCE_S = 30.0


class Member:
    """A group member that writes down what it is told."""

    def __init__(self, starts: Mapping[TopicPartition, int] | None = None) -> None:
        self.owned: set[TopicPartition] = set()
        self.history: list[tuple[str, frozenset[TopicPartition]]] = []
        self._starts = starts or {}

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.owned.update(sources)
        self.history.append(("assigned", frozenset(sources)))
        return self._starts

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        self.owned.difference_update(sources)
        self.history.append(("revoked", frozenset(sources)))

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        self.revoked(sources)


def make_topic(bus: Bus, name: str, partitions: int = 4, config: Mapping[str, str] = DELETE) -> str:
    bus.create_topics([TopicSpec(name, partitions, dict(config), "a test's")])
    return name


def send_all(bus: Bus, topic: str, keys: Sequence[str], **options: int) -> None:
    producer = bus.producer()
    for number, key in enumerate(keys):
        producer.send(topic, key.encode(), f"{key}:{number}".encode(), [("number", str(number).encode())], **options)
    producer.flush()
    producer.close()


def poll_until(consumers: Sequence[Consumer], enough: Callable[[list[Record]], bool]) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(records):
        assert time.monotonic() < deadline, f"{len(records)} records came"
        for consumer in consumers:
            records.extend(consumer.poll(500, 0.05))
    return records


def test_keys_go_to_the_partition_that_murmur2_says(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 5)
    keys = [f"session-{number}" for number in range(50)]
    send_all(bus, topic, keys)
    reader = bus.read({TopicPartition(topic, number): "earliest" for number in range(5)})
    records = poll_until([reader], lambda got: len(got) == 50)
    assert {record.key.decode(): record.partition for record in records} == {key: partition_of(key.encode(), 5) for key in keys}
    reader.close()


def test_records_of_a_key_stay_in_order_with_headers_and_rising_offsets(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique)
    send_all(bus, topic, ["a"] * 100)
    partition = TopicPartition(topic, partition_of(b"a", 4))
    reader = bus.read({partition: "earliest"})
    records = poll_until([reader], lambda got: len(got) == 100)
    assert [record.value for record in records] == [f"a:{number}".encode() for number in range(100)]
    assert [dict(record.headers)["number"] for record in records] == [str(number).encode() for number in range(100)]
    assert [record.offset for record in records] == list(range(100))
    assert bus.offsets([partition]) == {partition: (0, 100)}
    reader.close()


def test_a_delivery_report_comes_once_the_record_is_in_the_log(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 1)
    flushed: list[Exception | None] = []
    reported: list[Exception | None] = []
    producer = bus.producer(linger_ms=5)
    producer.send(topic, b"k", b"v", on_delivered=flushed.append)
    producer.flush()
    assert flushed == [None]
    assert bus.offsets([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): (0, 1)}
    producer.send(topic, b"k", b"v", on_delivered=reported.append)
    deadline = time.monotonic() + PATIENCE_S
    while not reported:
        assert time.monotonic() < deadline
        producer.report()
        time.sleep(0.01)
    assert reported == [None]
    assert bus.offsets([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): (0, 2)}
    producer.close()


def test_a_group_continues_at_its_committed_offset(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 1)
    send_all(bus, topic, ["k"] * 10)
    source = TopicPartition(topic, 0)
    first = bus.subscribe(unique, [topic], Member())
    poll_until([first], lambda got: len(got) == 10)
    first.commit({source: 4})
    deadline = time.monotonic() + PATIENCE_S
    while first.committed([source]) != {source: 4}:
        assert time.monotonic() < deadline
        first.poll(1, 0.05)
    first.close()
    assert bus.lag(unique, [topic]) == 6
    second = bus.subscribe(unique, [topic], Member())
    assert [record.offset for record in poll_until([second], lambda got: len(got) >= 6)] == list(range(4, 10))
    second.close()


def test_a_member_may_choose_where_it_starts(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 1)
    send_all(bus, topic, ["k"] * 5)
    member = bus.subscribe(unique, [topic], Member({TopicPartition(topic, 0): 3}))
    assert [record.offset for record in poll_until([member], lambda got: len(got) >= 2)] == [3, 4]
    member.close()


def test_seek_goes_back_and_pause_holds(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 1)
    send_all(bus, topic, ["k"] * 5)
    source = TopicPartition(topic, 0)
    member = bus.subscribe(unique, [topic], Member())
    poll_until([member], lambda got: len(got) == 5)
    member.seek(source, 2)
    assert [record.offset for record in poll_until([member], lambda got: len(got) >= 3)] == [2, 3, 4]
    member.pause([source])
    send_all(bus, topic, ["k"])
    assert all(member.poll(10, 0.05) == [] for _ in range(5))
    member.resume([source])
    assert [record.offset for record in poll_until([member], lambda got: len(got) >= 1)] == [5]
    member.close()


def test_members_share_the_partitions_and_take_over_what_one_leaves(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 4)
    one, two = Member(), Member()
    first, second = bus.subscribe(unique, [topic], one), bus.subscribe(unique, [topic], two)
    poll_until([first, second], lambda _: len(one.owned) == 2 and len(two.owned) == 2)
    assert one.owned.isdisjoint(two.owned)
    first.close()
    assert one.owned == set()
    poll_until([second], lambda _: len(two.owned) == 4)
    send_all(bus, topic, [f"session-{number}" for number in range(20)])
    assert len(poll_until([second], lambda got: len(got) >= 20)) == 20
    second.close()


def test_a_reader_from_the_latest_sees_only_what_comes_after(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 1)
    send_all(bus, topic, ["old"] * 3)
    reader = bus.read({TopicPartition(topic, 0): "latest"})
    send_all(bus, topic, ["new"])
    assert [record.key for record in poll_until([reader], lambda got: len(got) >= 1)] == [b"new"]
    reader.close()


def test_a_time_is_the_offset_of_what_was_written_then_or_later(bus: Bus, unique: str) -> None:
    source = TopicPartition(make_topic(bus, unique, 1), 0)
    send_all(bus, source.topic, ["a"] * 3)
    time.sleep(0.05)  # so that timestamps, in milliseconds, differ
    between = time.time()
    time.sleep(0.05)
    send_all(bus, source.topic, ["a"] * 2)
    found = {at: bus.offsets_at([source], at)[source] for at in (-62e9, -0.001, 0.0, between, between + 60)}
    assert found == {-62e9: 0, -0.001: 0, 0.0: 0, between: 3, between + 60: 5}


def test_topics_are_created_once_and_grow(bus: Bus, unique: str) -> None:
    spec = TopicSpec(unique, 2, DELETE, "a test's")
    assert bus.create_topics([spec]) == [unique]
    deadline = time.monotonic() + PATIENCE_S
    while unique not in bus.topics():
        assert time.monotonic() < deadline
    assert bus.create_topics([spec]) == []
    assert bus.create_topics([TopicSpec(unique, 3, DELETE, "a test's")]) == [unique]
    while bus.partitions(unique) != 3:
        assert time.monotonic() < deadline


def test_a_missing_topic_is_a_plain_refusal(bus: Bus, unique: str) -> None:
    with pytest.raises(Unavailable, match="topics create"):
        bus.partitions(f"missing.{unique}")


def test_a_tombstone_and_a_chosen_partition_arrive(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 3, {"cleanup.policy": "compact"})
    producer = bus.producer()
    producer.send(topic, b"k", b"v", partition=2)
    producer.send(topic, b"k", None, partition=2)
    producer.flush()
    reader = bus.read({TopicPartition(topic, 2): "earliest"})
    assert [record.value for record in poll_until([reader], lambda got: len(got) >= 2)] == [b"v", None]
    reader.close()
    producer.close()


def test_a_reader_of_some_keys_gets_their_records_whole_and_the_place_of_all(bus: Bus, unique: str) -> None:
    topic = make_topic(bus, unique, 1)
    send_all(bus, topic, ["other", "mine", "other", "mine"])
    reader = bus.read({TopicPartition(topic, 0): "earliest"}, keys=[b"mine"])
    records = poll_until([reader], lambda got: len(got) == 4)
    assert [(record.key, record.offset) for record in records] == [(b"other", 0), (b"mine", 1), (b"other", 2), (b"mine", 3)]
    assert [(record.value, dict(record.headers)) for record in records[1::2]] == [(b"mine:1", {"number": b"1"}), (b"mine:3", {"number": b"3"})]
    assert all(record.timestamp_ms for record in records[1::2])
    reader.close()


def test_a_consumer_knows_the_end_of_what_it_reads(bus: Bus, unique: str) -> None:
    """What a reader's lag goes by: no request to the log, and still true once it has read everything."""
    topic = make_topic(bus, unique, 2)
    send_all(bus, topic, ["a"] * 20)
    partition = TopicPartition(topic, partition_of(b"a", 2))
    member = Member()
    consumer = bus.subscribe(unique, [topic], member)
    first = poll_until([consumer], lambda got: len(got) >= 1)
    assert consumer.ends([partition])[partition] == 20
    poll_until([consumer], lambda got: len(got) + len(first) == 20)
    assert consumer.ends([partition]) == {partition: 20}
    send_all(bus, topic, ["a"] * 5)
    poll_until([consumer], lambda got: len(got) == 5)
    assert consumer.ends([partition]) == {partition: 25}
    consumer.close()
