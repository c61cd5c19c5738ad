"""A process that ends in order is not missed: its partitions go to the others at once, although its name is a lasting one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence

import pytest

from voxrelay.bus.api import TopicPartition
from voxrelay.bus.kafka import KafkaBus
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


def test_a_member_with_a_lasting_name_hands_over_when_it_closes(kafka_bootstrap: str) -> None:
    name = f"test.leaving.{uuid.uuid4().hex[:8]}"
    patience = {"session.timeout.ms": UNMISSED_S * 1000}
    first, second = (KafkaBus(kafka_bootstrap, instance, patience) for instance in ("first", "second"))
    first.create_topics([TopicSpec(name, PARTITIONS, {}, "")])
    owners = Owner(), Owner()
    members = [bus.subscribe(name, [name], owner) for bus, owner in zip((first, second), owners, strict=True)]
    deadline = time.monotonic() + WITHIN_S
    while not all(owner.owned for owner in owners) and time.monotonic() < deadline:
        for member in members:
            member.poll(1, 0.1)
    assert all(owner.owned for owner in owners)
    members[0].close()
    assert not owners[0].owned
    deadline = time.monotonic() + WITHIN_S
    while len(owners[1].owned) < PARTITIONS and time.monotonic() < deadline:
        members[1].poll(1, 0.1)
    assert owners[1].owned == set(range(PARTITIONS))
    members[1].close()
