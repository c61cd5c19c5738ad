"""Members of a group: one that ends hands over at once, one whose lasting name another has taken fails instead of waiting for ever."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence

import pytest

from voxrelay.bus.api import Consumer, TopicPartition
from voxrelay.bus.kafka import KafkaBus
from voxrelay.errors import Fenced
from voxrelay.topology import TopicSpec

pytestmark = pytest.mark.services

PARTITIONS = 4
WITHIN_S = 60.0
UNMISSED_S = 240  # longer than the test waits: only a member that says it leaves is gone by then


class Owner:
    """Remembers what it owns."""

    def __init__(self) -> None:
        self.owned: set[int] = set()

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.owned |= {source.partition for source in sources}
        return {}

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        self.owned -= {source.partition for source in sources}

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        self.revoked(sources)


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


def test_a_member_whose_name_another_has_taken_fails_for_good(kafka_bootstrap: str) -> None:
    """It would never get a record again. The runner passes the failure on, and the process ends to be started anew."""
    name = f"test.fenced.{uuid.uuid4().hex[:8]}"
    bus = KafkaBus(kafka_bootstrap, "only")
    bus.create_topics([TopicSpec(name, 1, {}, "")])
    former, owner = bus.subscribe(name, [name], Owner()), Owner()
    deadline = time.monotonic() + WITHIN_S
    former.poll(1, 1.0)
    latter = bus.subscribe(name, [name], owner)
    with pytest.raises(Fenced):
        while time.monotonic() < deadline:
            latter.poll(1, 0.1)
            former.poll(1, 0.1)
    former.close()
    while not owner.owned and time.monotonic() < deadline:
        latter.poll(1, 0.1)
    assert owner.owned == {0}
    latter.close()
