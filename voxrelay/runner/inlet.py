"""What stands before a stage or projection: records become events, and what never will goes to the dead letters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from voxrelay import codec
from voxrelay.bus.api import Headers, Producer, Record, TopicPartition
from voxrelay.errors import Poison
from voxrelay.events import Event, Lane
from voxrelay.telemetry import DEAD_LETTERS, fields
from voxrelay.topology import dead_letter_topic

log = logging.getLogger(__name__)


class Inlet:
    """Remembers the dead letters of a partition, so that going back to a checkpoint does not send them again."""

    def __init__(self, name: str, lane: Lane, producer: Producer) -> None:
        self._name = name
        self._producer = producer
        self._dead: dict[TopicPartition, set[int]] = {}
        self._counted = DEAD_LETTERS.labels(name, lane)

    def open(self, records: Sequence[Record]) -> Iterator[tuple[Record, Event]]:
        """Each record with its event; undecodable ones are dead-lettered and left out."""
        for record in records:
            if record.offset in self._dead.get(record.source, ()):
                continue
            try:
                yield record, codec.decode(record.key, record.value, record.headers)
            except Poison as poison:
                self.bury(record, poison.reason)

    def bury(self, record: Record, reason: str) -> None:
        """Send the record, as it came, to the dead letters; it will not be opened again."""
        place = (
            ("voxrelay_reason", reason.encode()),
            ("voxrelay_reader", self._name.encode()),
            ("voxrelay_offset", f"{record.topic}/{record.partition}/{record.offset}".encode()),
        )
        headers: Headers = (*record.headers, *place)
        self._producer.send(dead_letter_topic(record.topic), record.key, record.value, headers, partition=record.partition)
        self._dead.setdefault(record.source, set()).add(record.offset)
        self._counted.inc()
        log.warning(
            "A record went to the dead letters.",
            extra=fields(reader=self._name, topic=record.topic, partition=record.partition, offset=record.offset, reason=reason),
        )

    def forget_before(self, source: TopicPartition, offset: int) -> None:
        """Records below ``offset`` will not come again."""
        dead = self._dead.get(source)
        if dead:
            self._dead[source] = {at for at in dead if at >= offset}

    def forget(self, source: TopicPartition) -> None:
        self._dead.pop(source, None)


class BackOff:
    """Waits longer after each failure in a row: 0.1 s doubling to 5 s."""

    LONGEST_S = 5.0

    def __init__(self, wait: Callable[[float], object]) -> None:
        self._wait = wait
        self._next_s = 0.1

    def failed(self) -> None:
        self._wait(self._next_s)
        self._next_s = min(self.LONGEST_S, self._next_s * 2)

    def succeeded(self) -> None:
        self._next_s = 0.1
