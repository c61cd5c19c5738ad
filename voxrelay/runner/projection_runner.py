"""Runs one projection over all its topics on one lane: at least once, and the projection makes it exactly once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from voxrelay import codec
from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.clock import steady_time
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import Event, Lane
from voxrelay.runner.inlet import BackOff, Inlet
from voxrelay.runner.measures import ReaderMeasures
from voxrelay.runner.spans import projection_spans
from voxrelay.stage import Projection
from voxrelay.telemetry import fields
from voxrelay.topology import ProjectionNode, consumer_group
from voxrelay.tracing import tracer

log = logging.getLogger(__name__)

MAX_BATCH = 1000
POLL_S = 0.1
REST_S = 0.05  # between a batch and the next, which is fuller then: nobody waits for what is kept as a caller waits for words
COMMIT_EVERY_S = 1.0


class ProjectionRunner:
    """Owns its projection: both are used by the one thread that calls ``run``."""

    def __init__(self, bus: Bus, node: ProjectionNode, lane: Lane, projection: Projection, *, clock: Callable[[], float] = steady_time) -> None:
        self._bus, self._node, self._lane, self._projection, self._clock = bus, node, lane, projection, clock
        self._producer = bus.producer()
        self._inlet = Inlet(node.name, lane, self._producer)
        self._measures = ReaderMeasures(node.name, lane, clock)
        self._tracer = tracer()
        self._owned: set[TopicPartition] = set()
        self._handled: dict[TopicPartition, int] = {}  # offset after the last record stored, of partitions that had one
        self._uncommitted: dict[TopicPartition, int] = {}  # those of them that the log does not know yet
        self._next_commit = 0.0
        self.is_running = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``: then finish the batch in hand, commit, and leave the group. Any other exception ends the process."""
        topics = [topic.name(self._lane) for topic in self._node.reads if self._lane in topic.lanes]
        consumer = self._consumer = self._bus.subscribe(consumer_group(self._node.name, self._lane), topics, self)
        back_off = BackOff(stop.wait)
        self.is_running.set()
        try:
            while not stop.is_set():
                records: list[Record] = []
                try:
                    polled = consumer.poll(MAX_BATCH, POLL_S)
                    records = [record for record in polled if record.source in self._owned]  # a rebalance may have come between
                    self._turn(records)
                    back_off.succeeded()
                    if 0 < len(records) < MAX_BATCH:
                        stop.wait(REST_S)
                except Unavailable as error:
                    log.warning("The store does not answer; the batch is tried again.", extra=fields(projection=self._node.name, reason=str(error)))
                    self._go_back(records)
                    back_off.failed()
        finally:
            self.is_running.clear()
            consumer.close()
            self._producer.close()

    def _turn(self, records: Sequence[Record]) -> None:
        now = self._clock()
        self._measures.polled(records)
        # Interims are most of what is said, and nothing of them is kept: they are passed over unread.
        opened = list(self._inlet.open([record for record in records if codec.is_durable(record.headers)]))
        if opened:
            self._measures.taken(len(opened), opened[0][1], now)
            spans = projection_spans(self._tracer, self._node.name, self._lane, [event for _, event in opened], now)
            self._project(opened)
            if spans is not None:
                spans.end(self._clock())
        if records:
            self._producer.flush()  # dead letters, before the offsets that pass them
            stored = {record.source: record.offset + 1 for record in records}
            self._handled.update(stored)
            self._uncommitted.update(stored)
        if now >= self._next_commit:
            self._next_commit = now + COMMIT_EVERY_S
            self._commit()
        self._measures.handled(records, self._consumer, now)

    def _project(self, opened: Sequence[tuple[Record, Event]]) -> None:
        """Store all at once; if something in it is poison, one by one, so that only the culprit is left out."""
        try:
            self._projection.project([event for _, event in opened])
        except Poison as poison:
            if len(opened) == 1:
                self._inlet.bury(opened[0][0], poison.reason)
                return
            for item in opened:
                self._project([item])

    def _commit(self) -> None:
        """Once a second at most: a broker answers a member's requests one after the other, and its heartbeats would wait behind the commits."""
        self._consumer.commit(self._uncommitted)
        for source, offset in self._uncommitted.items():
            self._inlet.forget_before(source, offset)
        self._uncommitted.clear()

    def _go_back(self, records: Sequence[Record]) -> None:
        first: dict[TopicPartition, int] = {}
        for record in records:
            first.setdefault(record.source, record.offset)
        for source, offset in (first | {s: self._handled[s] for s in self._handled if s not in first}).items():
            self._consumer.seek(source, offset)

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._owned.update(sources)
        log.info("The projection took partitions over.", extra=fields(projection=self._node.name, lane=self._lane, partitions=len(sources)))
        return {}

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        try:
            self._commit()
        except Unavailable as error:
            log.warning(
                "The last offsets could not be committed; the next owner stores again.", extra=fields(projection=self._node.name, reason=str(error))
            )
        self.lost(sources)

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        self._owned.difference_update(sources)
        for source in sources:
            self._handled.pop(source, None)
            self._uncommitted.pop(source, None)
            self._inlet.forget(source)
            self._measures.forget(source)
