"""Members of a group: one that ends hands over at once, one that was fenced joins again, and fails where another keeps its lasting name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence

import pytest

from voxrelay.bus.api import Consumer, TopicPartition
from voxrelay.bus.kafka import KafkaBus
from voxrelay.errors import Fenced, Unavailable
from voxrelay.topology import TopicSpec

pytestmark = pytest.mark.services

PARTITIONS = 4
WITHIN_S = 60.0
ALL_THERE_S = 2.0  # more than the client needs to fetch what lies there
UNMISSED_S = 240  # longer than the test waits: only a member that says it leaves is gone by then


class Owner:
    """Remembers what it owns."""

    def __init__(self) -> None:
        self.owned: set[int] = set()
        self.lost_times = 0

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.owned |= {source.partition for source in sources}
        return {}

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        self.owned -= {source.partition for source in sources}

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        self.owned -= {source.partition for source in sources}
        self.lost_times += 1


class CommittingOwner(Owner):
    """Commits what it did last while it hands over, as the runner does; so often that the answers are still on their way when it closes."""

    consumer: Consumer | None = None

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        super().revoked(sources)
        if self.consumer is not None:
            for number in range(200):
                self.consumer.commit(dict.fromkeys(sources, number))


@pytest.mark.parametrize("instances", [("first", "second"), ("", "")], ids=["lasting names", "names of the moment"])
def test_a_member_hands_over_when_it_closes(kafka_bootstrap: str, instances: tuple[str, str]) -> None:
    name = f"test.leaving.{uuid.uuid4().hex[:8]}"
    patience = {"session.timeout.ms": UNMISSED_S * 1000}
    first, second = (KafkaBus(kafka_bootstrap, instance, patience) for instance in instances)
    first.create_topics([TopicSpec(name, PARTITIONS, {}, "")])
    owners = CommittingOwner(), Owner()
    members = [bus.subscribe(name, [name], owner) for bus, owner in zip((first, second), owners, strict=True)]
    deadline = time.monotonic() + WITHIN_S
    while not all(owner.owned for owner in owners) and time.monotonic() < deadline:
        for member in members:
            member.poll(1, 0.1)
    assert all(owner.owned for owner in owners)
    owners[0].consumer = members[0]
    members[0].close()
    assert not owners[0].owned
    deadline = time.monotonic() + WITHIN_S
    while len(owners[1].owned) < PARTITIONS and time.monotonic() < deadline:
        members[1].poll(1, 0.1)
    assert owners[1].owned == set(range(PARTITIONS))
    members[1].close()


@pytest.fixture
def namesakes(kafka_bootstrap: str) -> Iterator[tuple[list[Consumer], list[Owner]]]:
    """Two members under one lasting name, the first of which has its partition; its topic holds ten records."""
    name = f"test.fenced.{uuid.uuid4().hex[:8]}"
    bus = KafkaBus(kafka_bootstrap, "only")
    bus.create_topics([TopicSpec(name, 1, {}, "")])
    producer = bus.producer()
    for number in range(10):
        producer.send(name, b"key", b"%d" % number)
    producer.flush()
    owners = [Owner(), Owner()]
    members = [bus.subscribe(name, [name], owners[0])]
    deadline = time.monotonic() + WITHIN_S
    while not owners[0].owned and time.monotonic() < deadline:
        members[0].poll(1, 0.1)
    members.append(bus.subscribe(name, [name], owners[1]))
    yield members, owners
    for member in members:
        member.close()
    producer.close()


def test_a_member_that_was_fenced_joins_again(namesakes: tuple[list[Consumer], list[Owner]]) -> None:
    """As one is by itself, when its coordinator was away for long. Its partitions are lost to it first, and nothing is skipped."""
    members, (owner, other) = namesakes
    deadline = time.monotonic() + WITHIN_S
    while not other.owned and time.monotonic() < deadline:
        members[1].poll(1, 0.1)
    members.pop().close()
    owner.lost_times = 0
    found: list[int] = []
    while len(found) < 10 and time.monotonic() < deadline:
        found += [record.offset for record in members[0].poll(500, 0.1) if owner.lost_times]
    assert found == list(range(10))
    assert owner.lost_times == 1
    assert owner.owned == {0}


def test_of_two_that_keep_a_name_one_fails_for_good(namesakes: tuple[list[Consumer], list[Owner]]) -> None:
    """They would take the partitions from each other for ever. The runner passes the failure on, and the process ends."""
    members, owners = namesakes
    deadline = time.monotonic() + WITHIN_S
    with pytest.raises(Fenced):
        while time.monotonic() < deadline:
            for member in members:
                member.poll(1, 0.1)
    while not any(owner.owned for owner in owners) and time.monotonic() < deadline:
        members[1].poll(1, 0.1)
    assert owners[1].owned == {0}


def test_records_that_come_with_an_error_are_not_lost_with_it(kafka_bootstrap: str) -> None:
    """One of two partitions is read where it has no record (any more): the client says so in the middle of the other's records."""
    bus = KafkaBus(kafka_bootstrap, extra={"auto.offset.reset": "error"})
    name = f"test.errors.{uuid.uuid4().hex[:8]}"
    bus.create_topics([TopicSpec(name, 2, {}, "")])
    producer = bus.producer()
    for number in range(100):
        producer.send(name, b"key", b"%d" % number, partition=0)
    producer.flush()
    reader = bus.read({TopicPartition(name, 0): 0, TopicPartition(name, 1): 5000})
    time.sleep(ALL_THERE_S)
    with pytest.raises(Unavailable):
        while True:
            assert not reader.poll(500, 1.0), "the error is to come with the records"
    found: list[int] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < 100 and time.monotonic() < deadline:
        found += [record.offset for record in reader.poll(500, 0.1)]
    assert found == list(range(100))
    reader.close()
    producer.close()
