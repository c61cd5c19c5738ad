"""Runs one stage on one lane: nothing lost, nothing twice, whatever dies when (docs/architecture.md, docs/adr/0002).

Outputs are acknowledged by the log before a checkpoint that covers them is written, and a checkpoint is acknowledged before an
offset that relies on it is committed. So whoever takes over restores the snapshots, reads again from the committed offset, and
publishes again what had been published since: with the same ids and sequences, which every reader drops.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from voxrelay import codec
from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.clock import steady_time
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import Event, Lane, SessionEnded
from voxrelay.runner.checkpoints import CheckpointLog
from voxrelay.runner.inlet import BackOff, Inlet
from voxrelay.runner.measures import StageMeasures
from voxrelay.runner.sessions import Checkpoint, TrackedPartition, TrackedSession
from voxrelay.runner.spans import BatchSpans, stage_spans
from voxrelay.stage import Stage
from voxrelay.telemetry import CHECKPOINT_BYTES, REPEATS, REWINDS, UNREADABLE_CHECKPOINTS, fields
from voxrelay.topology import AUDIO_RECEIVED, StageNode, checkpoint_topic, consumer_group
from voxrelay.tracing import tracer

log = logging.getLogger(__name__)

POLL_S = 0.1
COMMIT_EVERY_S = 1.0
MANY_RECORDS = 8  # in a batch: so busy a stage rests before the next, which is fuller then; a turn costs more than a few records
REST_S = 0.002
LINGER_MS = 1.0  # the results of a batch go to the broker together: one request a partition, not one a result
LOOK_FOR_IDLE_EVERY_S = 5.0

Taken = tuple[Record, Event, TrackedSession]
Result = TypeVar("Result")


class StageRunner:
    """Owns its stage: both are used by the one thread that calls ``run``.

    A batch is what there is, at most ``batch_events``. ``batch_wait_s`` lies between two of them, so that more sessions share the next, and
    ``REST_S`` at the least where many do already.
    """

    def __init__(
        self,
        bus: Bus,
        node: StageNode,
        lane: Lane,
        stage: Stage,
        *,
        checkpoint_every: int = 32,
        session_idle_s: float = 2100.0,
        batch_events: int = 500,
        batch_wait_s: float = 0.0,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        self._bus, self._node, self._lane, self._stage = bus, node, lane, stage
        self._checkpoint_every, self._session_idle_s, self._clock = checkpoint_every, session_idle_s, clock
        self._batch_events, self._batch_wait_s = batch_events, batch_wait_s
        self._producer = bus.producer(linger_ms=LINGER_MS)
        self._inlet = Inlet(node.name, lane, self._producer)
        self._checkpoints = CheckpointLog(bus, self._producer, checkpoint_topic(node, lane))
        self._partitions: dict[TopicPartition, TrackedPartition] = {}
        self._on_its_way: Sequence[Taken] = ()  # the batch before, whose results the log may not have acknowledged yet
        self._unacknowledged: list[tuple[TopicPartition, TrackedSession, Checkpoint]] = []
        self._single_until: dict[TopicPartition, int] = {}  # records to try one by one, to find a poison that gave no name
        self._routes = {
            payload: [(topic.name(lane), topic.encoding) for topic in node.writes if payload in topic.payloads]
            for payload in {payload for topic in node.writes for payload in topic.payloads}
        }
        self._next_commit = self._next_look = 0.0
        self._tracer = tracer()
        self._spans: BatchSpans | None = None  # of the batch in hand
        self._is_sound = True
        self._is_resend_due = False
        self._doubt: Unavailable | None = None  # what the log did not take during a rebalance may be of a partition that stays
        self._measures, self._repeats = StageMeasures(node.name, lane, clock), REPEATS.labels(node.name, lane)
        self.is_running = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``: then finish the batch in hand, save and commit, and leave the group. Any other exception ends the process."""
        self._stop = stop
        topic = self._node.reads.name(self._lane)
        consumer = self._consumer = self._bus.subscribe(consumer_group(self._node.name, self._lane), [topic], self)
        back_off = BackOff(stop.wait)
        self.is_running.set()
        try:
            while not stop.is_set():
                try:
                    records = consumer.poll(1 if self._single_until else self._batch_events, POLL_S)
                    self._turn(records)
                    back_off.succeeded()
                    if rest_s := self._rest_s(len(records)):  # after a batch, and not in the middle of one: a rebalance may come meanwhile
                        stop.wait(rest_s)
                except Unavailable as error:
                    log.warning(
                        "Something the stage needs does not answer; it goes back and tries again.",
                        extra=fields(stage=self._node.name, reason=str(error)),
                    )
                    self._rewind()
                    back_off.failed()
        except BaseException:
            self._is_sound = False  # the state may be half-changed: nothing of it is to be saved
            raise
        finally:
            self.is_running.clear()
            consumer.close()
            self._producer.close()

    def _rest_s(self, records: int) -> float:
        """Between a batch of so many records and the next. A stage that found more than it may take has no time for it."""
        is_busy = MANY_RECORDS <= records < self._batch_events
        return max(self._batch_wait_s if records else 0.0, REST_S if is_busy else 0.0)

    # --- one turn ------------------------------------------------------------------------------------------------------

    def _turn(self, records: Sequence[Record]) -> None:
        """Settle the batch before, whose results were acknowledged while this one was waited for; then publish this one's."""
        now = self._clock()
        records = [record for record in records if record.source in self._partitions]  # a rebalance may have come between
        self._measures.polled(records)
        for record in records:
            partition = self._partitions[record.source]
            if partition.position is None:
                partition.position = record.offset
        if self._doubt is not None:
            doubt, self._doubt = self._doubt, None
            raise doubt
        self._settle()
        if now >= self._next_commit:
            self._next_commit = now + COMMIT_EVERY_S
            self._commit(now)
        if now >= self._next_look:
            self._next_look = now + LOOK_FOR_IDLE_EVERY_S
            self._expire(now)
        began = self._clock()
        if records:
            self._handle(records, now)
        self._measures.handled(records, self._consumer, began)

    def _handle(self, records: Sequence[Record], now: float) -> None:
        taken = [item for record, event in self._inlet.open(records) if (item := self._take(record, event, now)) is not None]
        for source, offset in {record.source: record.offset for record in records}.items():
            self._partitions[source].position = offset + 1
        if taken:
            self._measures.taken(len(taken), taken[0][1], now)
            self._spans = stage_spans(self._tracer, self._node.name, self._lane, [(event, session) for _, event, session in taken], now)
            try:
                self._publish(self._stage.process([event for _, event, _ in taken]), {event.session_id: session for _, event, session in taken})
            except Poison as poison:
                self._isolate(taken, poison)
                return
            self._on_its_way = taken
        if self._spans is not None:
            self._spans.end(self._clock())
            self._spans = None
        if self._single_until:
            self._narrow(records)

    def _settle(self) -> None:
        """Wait until the log has all that was sent; then the checkpoints sent before count, and those that are due are sent."""
        self._resend()
        self._producer.flush()
        self._acknowledge()
        on_its_way, self._on_its_way = self._on_its_way, ()
        self._save(on_its_way)

    def _take(self, record: Record, event: Event, now: float) -> Taken | None:
        partition = self._partitions[record.source]
        session = partition.sessions.get(event.session_id)
        if session is None:
            if event.session_id in partition.ended:
                self._repeats.inc()
                return None
            session = partition.sessions[event.session_id] = TrackedSession(event.session_id, record.offset, now)
        if not session.accepts(event, record.offset):
            self._repeats.inc()
            return None
        session.take(event, record.offset, now)
        return record, event, session

    def _publish(self, outputs: Iterable[Event], sessions: Mapping[str, TrackedSession]) -> None:
        for output in outputs:
            session = sessions[output.session_id]
            session.follow(output.payload)
            if self._spans is not None:
                self._spans.publish(session, output.payload)
            if output.payload.is_durable:
                session.published += 1
                sequence, event_id = session.published, f"{output.session_id}/{self._node.name}/{session.published}"
            else:
                payload = output.payload
                sequence, event_id = (
                    0,
                    f"{output.session_id}/{self._node.name}/{getattr(payload, 'utterance_id', '')}.{getattr(payload, 'revision', 0)}",
                )
            stamped = Event(
                output.session_id,
                output.payload,
                self._node.name,
                sequence,
                event_id,
                self._clock(),
                session.received_at,
                session.sent_traceparent or session.traceparent,
                self._measures.busy_share,
            )
            for topic, encoding in self._routes[type(output.payload)]:
                key, value, headers = codec.encode(stamped, encoding)
                self._producer.send(topic, key, value, headers)

    def _acknowledge(self) -> None:
        """The log holds everything sent so far: the checkpoints sent earlier may be relied on."""
        for source, session, checkpoint in self._unacknowledged:
            session.saved = checkpoint
            partition = self._partitions.get(source)
            if checkpoint.is_closed and partition is not None:
                partition.sessions.pop(session.session_id, None)
                partition.remember_end(session.session_id)
        self._unacknowledged.clear()

    def _save(self, taken: Sequence[Taken]) -> None:
        """Checkpoint the sessions that ended, those that have gone far enough, and new ones as soon as may be: what a stage has chosen
        for a session when it opened is then settled, whoever goes on with it. All their outputs are acknowledged.
        """
        ended = {event.session_id for _, event, _ in taken if event.payload.ends_session}
        for record, session in {session.session_id: (record, session) for record, _, session in taken}.values():
            if session.session_id in ended:
                session.is_ended = True
                self._stage.forget(session.session_id)
                self._write(record.source, session, b"")
            elif session.newest is None or session.unsaved >= self._checkpoint_every:
                state = self._stage.snapshot(session.session_id)
                if state is not None:
                    self._write(record.source, session, state)

    def _write(self, source: TopicPartition, session: TrackedSession, state: bytes) -> None:
        checkpoint = session.checkpoint(state)
        self._unacknowledged.append((source, session, checkpoint))  # first: if the sending fails, it is sent again
        CHECKPOINT_BYTES.labels(self._node.name).observe(self._checkpoints.write(source.partition, checkpoint))

    def _commit(self, now: float) -> None:
        offsets = {}
        behind = 0
        for source, partition in self._partitions.items():
            mark = partition.low_watermark()
            if mark is None or partition.position is None:
                continue
            behind += partition.position - mark
            if mark > partition.committed:
                offsets[source] = mark
        self._consumer.commit(offsets)
        for source, mark in offsets.items():
            self._partitions[source].committed = mark
            self._inlet.forget_before(source, mark)
        self._measures.held(self._partitions.values(), behind, now)

    # --- going back --------------------------------------------------------------------------------------------------------

    def _rewind(self) -> None:
        """Restore every session from its newest checkpoint and read again from there; what it publishes again is known by its ids."""
        REWINDS.labels(self._node.name, self._lane).inc()
        self._on_its_way = ()
        for source, partition in self._partitions.items():
            mark = partition.rewind_mark()
            for session in list(partition.sessions.values()):
                self._stage.forget(session.session_id)
                if session.newest is None:
                    del partition.sessions[session.session_id]
                else:
                    session.go_back(session.newest)
                    if not session.is_ended:
                        self._stage.restore(session.session_id, session.newest.state)
            if mark is not None:
                partition.position = mark
                self._consumer.seek(source, mark)
        self._is_resend_due = bool(self._unacknowledged)

    def _resend(self) -> None:
        """Checkpoints that were on their way when the log failed: whether they arrived is not known."""
        if self._is_resend_due:
            for source, _, checkpoint in self._unacknowledged:
                self._checkpoints.write(source.partition, checkpoint)
            self._is_resend_due = False

    def _isolate(self, taken: Sequence[Taken], poison: Poison) -> None:
        """Bury the culprit and go back; where it has no name, take what was in hand again one by one until it shows."""
        culprit = next((record for record, event, _ in taken if event.id == poison.event_id), None)
        if culprit is None and len(taken) == 1:
            culprit = taken[0][0]
        if culprit is not None:
            self._inlet.bury(culprit, poison.reason)
        else:
            for record, _, _ in taken:
                self._single_until[record.source] = max(self._single_until.get(record.source, 0), record.offset + 1)
        self._rewind()

    def _narrow(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.offset + 1 >= self._single_until.get(record.source, 0):
                self._single_until.pop(record.source, None)

    def _expire(self, now: float) -> None:
        """End sessions nobody feeds any more. At the head of the path the end is published in band, so that a replay sees it too."""
        for partition in self._partitions.values():
            for session in list(partition.sessions.values()):
                if session.is_ended or now - session.seen_at < self._session_idle_s:
                    continue
                log.info("A session was idle for too long.", extra=fields(stage=self._node.name, session=session.session_id))
                session.seen_at = now
                if self._node.reads is AUDIO_RECEIVED:
                    self._publish_end(session, now)
                else:
                    self._stage.forget(session.session_id)
                    del partition.sessions[session.session_id]

    def _publish_end(self, session: TrackedSession, now: float) -> None:
        sequence = session.last_sequences.get("gateway", 0) + 1
        event_id = f"{session.session_id}/gateway/{sequence}"
        end = Event(session.session_id, SessionEnded("vanished"), "gateway", sequence, event_id, now, now, session.traceparent)
        key, value, headers = codec.encode(end, AUDIO_RECEIVED.encoding)
        self._producer.send(AUDIO_RECEIVED.name(self._lane), key, value, headers)

    # --- Rebalance ---------------------------------------------------------------------------------------------------------

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        committed = self._patiently(lambda: self._consumer.committed(sources))
        starts = dict(committed)
        checkpoints = self._patiently(lambda: self._checkpoints.read([source.partition for source in sources]))
        for source in sources:
            open_offsets = self._restore(source, checkpoints[source.partition])
            # The committed offset relies on the newest checkpoints; a predecessor that was only paused may have overwritten one.
            if open_offsets and min(open_offsets) < committed.get(source, 0):
                starts[source] = min(open_offsets)
        log.info("The stage took partitions over.", extra=fields(stage=self._node.name, lane=self._lane, partitions=[s.partition for s in sources]))
        return starts

    def _patiently(self, attempt: Callable[[], Result]) -> Result:
        """A partition must not be taken over half-way: try until it works or the stage stops."""
        back_off = BackOff(self._stop.wait)
        while True:
            try:
                return attempt()
            except Unavailable as error:
                if self._stop.is_set():
                    raise
                log.warning("The partitions cannot be taken over yet.", extra=fields(stage=self._node.name, reason=str(error)))
                back_off.failed()

    def _restore(self, source: TopicPartition, checkpoints: Sequence[Checkpoint]) -> list[int]:
        """Sessions of the partition as last saved; the offsets after which the open ones continue."""
        partition = TrackedPartition()
        offsets = []
        for checkpoint in checkpoints:
            if checkpoint.is_closed:
                partition.remember_end(checkpoint.session_id)
            elif self._can_restore(checkpoint):
                partition.sessions[checkpoint.session_id] = TrackedSession.from_checkpoint(checkpoint, self._clock())
                offsets.append(checkpoint.next_offset)
            else:
                partition.remember_end(checkpoint.session_id)
        self._partitions[source] = partition
        return offsets

    def _can_restore(self, checkpoint: Checkpoint) -> bool:
        """A snapshot of another version or engine must not keep the service from starting: its session is given up, and said to be."""
        try:
            self._stage.restore(checkpoint.session_id, checkpoint.state)
        except (ValueError, KeyError, TypeError, zlib.error, EngineUnusable):
            log.error(
                "A checkpoint cannot be read; its session is given up.",
                extra=fields(stage=self._node.name, session=checkpoint.session_id),
                exc_info=True,
            )
            UNREADABLE_CHECKPOINTS.labels(self._node.name, self._lane).inc()
            self._stage.forget(checkpoint.session_id)
            return False
        return True

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        try:
            if self._is_sound:
                self._hand_over(sources)
        except Unavailable as error:
            log.warning(
                "The last checkpoints could not be saved; the next owner replays more.", extra=fields(stage=self._node.name, reason=str(error))
            )
            self._doubt = error
        self.lost(sources)

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        for source in sources:
            partition = self._partitions.pop(source, None)
            for session_id in partition.sessions if partition is not None else ():
                self._stage.forget(session_id)
            self._inlet.forget(source)
            self._measures.forget(source)
            self._single_until.pop(source, None)
        gone = set(sources)
        self._unacknowledged = [item for item in self._unacknowledged if item[0] not in gone]
        self._on_its_way = [item for item in self._on_its_way if item[0].source not in gone]

    def _hand_over(self, sources: Sequence[TopicPartition]) -> None:
        self._settle()
        for source in sources:
            partition = self._partitions.get(source, TrackedPartition())
            for session in partition.sessions.values():
                if session.unsaved and not session.is_ended:
                    state = self._stage.snapshot(session.session_id)
                    if state is not None:
                        self._write(source, session, state)
        self._producer.flush()
        self._acknowledge()
        self._commit(self._clock())
