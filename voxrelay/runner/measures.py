"""What the runners tell of themselves: is it late, is it losing, is it full."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from voxrelay.bus.api import Consumer, Record, TopicPartition
from voxrelay.events import Event, Lane
from voxrelay.runner.lateness import Lateness
from voxrelay.runner.sessions import TrackedPartition, TrackedSession
from voxrelay.telemetry import (
    BATCH_EVENTS,
    BUSY_SECONDS,
    CHECKPOINT_AGE_RECORDS,
    CHECKPOINT_AGE_SECONDS,
    EVENTS,
    OPEN_UTTERANCES,
    QUEUE_SECONDS,
    REPEATS,
    REWINDS,
    STAGE_LAG_SECONDS,
    STAGE_SESSIONS,
    UNREADABLE_CHECKPOINTS,
)

BUSY_WINDOW_S = 1.0


class ReaderMeasures:
    """Of one stage or projection on one lane. Used by the runner's thread; the lag is worked out for whoever scrapes, in theirs.

    A stage's waiting for the log is no work: it grows with the number of batches, and those are fewer where there is more to do.
    """

    def __init__(self, name: str, lane: Lane, clock: Callable[[], float]) -> None:
        self._clock, self._lateness = clock, Lateness()
        self._events, self._busy = EVENTS.labels(name, lane), BUSY_SECONDS.labels(name, lane)
        self._batches, self._queued = BATCH_EVENTS.labels(name, lane), QUEUE_SECONDS.labels(name, lane)
        STAGE_LAG_SECONDS.labels(name, lane).set_function(lambda: self._lateness.lag_s(clock()))

    def polled(self, records: Sequence[Record]) -> None:
        self._lateness.polled(records)

    def taken(self, events: int, oldest: Event, now: float) -> None:
        """A batch is about to be handled; ``oldest`` is its first event."""
        self._events.inc(events)
        self._batches.observe(events)
        self._queued.observe(max(0.0, now - oldest.time))

    def handled(self, records: Sequence[Record], consumer: Consumer, began: float) -> None:
        """These, from ``began`` until now; or none."""
        self._lateness.handled(records, consumer)
        if records:
            self._busy.inc(max(0.0, self._clock() - began))

    def forget(self, source: TopicPartition) -> None:
        self._lateness.forget(source)


class StageMeasures(ReaderMeasures):
    """The same with what a stage holds.

    ``busy_share``: of the last second or little more, 0 to 1, the share that its batches took.
    """

    def __init__(self, name: str, lane: Lane, clock: Callable[[], float]) -> None:
        super().__init__(name, lane, clock)
        self.busy_share = 0.0
        self._window_from, self._worked_s = clock(), 0.0
        self._sessions, self._utterances = STAGE_SESSIONS.labels(name, lane), OPEN_UTTERANCES.labels(name, lane)
        for counter in (REPEATS, REWINDS, UNREADABLE_CHECKPOINTS):
            counter.labels(name, lane)  # there from the start: an increase from nothing is none
        self._age_records, self._age_s = CHECKPOINT_AGE_RECORDS.labels(name, lane), CHECKPOINT_AGE_SECONDS.labels(name, lane)

    def handled(self, records: Sequence[Record], consumer: Consumer, began: float) -> None:
        super().handled(records, consumer, began)
        now = self._clock()
        self._worked_s += max(0.0, now - began)
        if now - self._window_from >= BUSY_WINDOW_S:
            self.busy_share = min(1.0, self._worked_s / (now - self._window_from))
            self._window_from, self._worked_s = now, 0.0

    def held(self, partitions: Collection[TrackedPartition], records_behind: int, now: float) -> None:
        """What would be lost for the moment, and how much read again, if the process died now."""
        sessions: list[TrackedSession] = [session for partition in partitions for session in partition.sessions.values()]
        self._sessions.set(len(sessions))
        self._utterances.set(sum(session.is_speaking for session in sessions))
        self._age_records.set(records_behind)
        self._age_s.set(max((now - session.unsaved_since for session in sessions if session.unsaved), default=0.0))
