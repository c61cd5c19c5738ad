"""Records that no reader can decode, in every partition: each belongs into the dead letters, and nothing else may notice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.kafka import KafkaBus
from voxrelay.topology import dead_letter_topic

WITHIN_S = 240.0  # its reader may be what another fault has just struck


class NotBuried(Exception):
    """A poisonous record did not come to the dead letters."""


@contextmanager
def strike(platform: Platform, topic: str) -> Iterator[None]:
    bus = KafkaBus(platform.direct["VOXRELAY_KAFKA_BOOTSTRAP"])
    count = bus.partitions(topic)
    sources = [TopicPartition(dead_letter_topic(topic), number) for number in range(count)]
    before = bus.offsets(sources)
    producer = bus.producer()
    for number in range(count):
        producer.send(topic, b"nobody", b"\xff\xfe not a record", partition=number)
    producer.flush()
    producer.close()
    yield
    deadline = time.monotonic() + WITHIN_S
    while any(after <= before[source][1] for source, (_, after) in bus.offsets(sources).items()):
        if time.monotonic() > deadline:
            raise NotBuried(f"A record of {topic} that cannot be decoded is not in its dead letters after {WITHIN_S:.0f} s.")
        time.sleep(0.5)
