"""A span of the log, read to its ends by a consumer in no group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from voxrelay.bus.api import Bus, Consumer, Record, TopicPartition
from voxrelay.errors import Unavailable

BATCH = 500
POLL_S = 0.1
EMPTY_POLLS = 100  # in a row, before a log that should have more to say is given up


def read_to(consumer: Consumer, ends: Mapping[TopicPartition, int], failure: str, within_s: float | None = None) -> Iterator[list[Record]]:
    """What each poll brings until all records below ``ends`` were given, in order within each partition.

    The last batches may hold records at the ends and beyond: whoever must not see them leaves them out. Raises ``Unavailable`` with
    the sentence ``failure`` when the log stops answering or, where ``within_s`` is given, when not all was read in so many seconds.
    """
    waiting = dict(ends)
    deadline = time.monotonic() + within_s if within_s is not None else None
    empty = 0
    while waiting:
        if empty > EMPTY_POLLS if deadline is None else time.monotonic() > deadline:
            raise Unavailable(failure)
        records = consumer.poll(BATCH, POLL_S)
        empty = 0 if records else empty + 1
        for record in records:
            if record.offset + 1 >= waiting.get(record.source, record.offset + 2):
                del waiting[record.source]
        yield records


def read_span(bus: Bus, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], failure: str) -> Iterator[list[Record]]:
    """The same, by a reader of its own; partitions where nothing lies between start and end are not asked. Raises ``Unavailable``."""
    ahead = {source: end for source, end in ends.items() if starts[source] < end}
    if not ahead:
        return
    consumer = bus.read({source: starts[source] for source in ahead})
    try:
        yield from read_to(consumer, ahead, failure)
    finally:
        consumer.close()
