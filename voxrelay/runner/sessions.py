"""What the runner knows of each session of its partitions: how far it is, what was saved, and from where a restart must read."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from voxrelay.events import Event, Payload, UtteranceEnded, UtteranceStarted

TRACE_ID_END = 35  # characters of a traceparent
REMEMBERED_ENDS = 10_000  # closed sessions a partition keeps in mind to drop what comes late


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A session's state after every record below ``next_offset``, and the counters that make its replay exact."""

    session_id: str
    next_offset: int
    last_sequences: dict[str, int]
    last_published: int
    state: bytes
    is_closed: bool = False
    traceparent: str = ""


@dataclass(slots=True)
class TrackedSession:
    session_id: str
    first_offset: int
    seen_at: float  # by the process's clock
    last_sequences: dict[str, int] = field(default_factory=dict)
    published: int = 0
    next_offset: int = 0
    unsaved: int = 0  # records since the newest checkpoint
    unsaved_since: float = 0.0  # when the first of them was taken
    is_speaking: bool = False  # as far as this process has seen
    traceparent: str = ""
    sent_traceparent: str = ""  # of this stage's own newest span for the session, where it is traced
    received_at: float = 0.0
    is_ended: bool = False
    saved: Checkpoint | None = None  # acknowledged by the log
    newest: Checkpoint | None = None  # perhaps still on its way there

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, seen_at: float) -> TrackedSession:
        session = cls(checkpoint.session_id, checkpoint.next_offset, seen_at)
        session.saved = checkpoint
        session.go_back(checkpoint)
        return session

    def go_back(self, checkpoint: Checkpoint) -> None:
        """Be again as at the checkpoint."""
        self.last_sequences = dict(checkpoint.last_sequences)
        self.published = checkpoint.last_published
        self.next_offset = checkpoint.next_offset
        self.traceparent = checkpoint.traceparent
        self.unsaved = 0
        self.newest = checkpoint

    def accepts(self, event: Event, offset: int) -> bool:
        """Whether the event is new to the session; repeats of a producer that replayed, and what the state already holds, are not."""
        if self.is_ended or offset < self.next_offset:
            return False
        return event.sequence == 0 or event.sequence > self.last_sequences.get(event.producer, 0)

    def take(self, event: Event, offset: int, now: float) -> None:
        if event.sequence:
            self.last_sequences[event.producer] = event.sequence
        self.next_offset = offset + 1
        if not self.unsaved:
            self.unsaved_since = now
        self.unsaved += 1
        self.seen_at = now
        self.follow(event.payload)
        if event.traceparent and event.traceparent != self.traceparent:
            if event.traceparent[:TRACE_ID_END] != self.traceparent[:TRACE_ID_END]:
                self.sent_traceparent = ""  # the session goes on in another trace
            self.traceparent = event.traceparent
        self.received_at = max(self.received_at, event.received_at)

    def follow(self, payload: Payload) -> None:
        """Whether somebody is in the middle of an utterance, by the boundaries that pass."""
        if isinstance(payload, UtteranceStarted | UtteranceEnded):
            self.is_speaking = isinstance(payload, UtteranceStarted)

    def checkpoint(self, state: bytes) -> Checkpoint:
        self.unsaved = 0
        self.newest = Checkpoint(self.session_id, self.next_offset, dict(self.last_sequences), self.published, state, self.is_ended, self.traceparent)
        return self.newest

    def restart_offset(self, position: int) -> int:
        """The first record a new owner needs of this session, given that the partition was read up to ``position``."""
        if self.saved is self.newest and self.unsaved == 0 and self.saved is not None:
            return position
        return self.saved.next_offset if self.saved is not None else self.first_offset

    def rewind_offset(self, position: int) -> int:
        """The same for this process, which still has the newest checkpoint at hand."""
        if self.unsaved == 0:
            return position
        return self.newest.next_offset if self.newest is not None else self.first_offset


@dataclass(slots=True)
class TrackedPartition:
    position: int | None = None  # offset of the next record to handle
    committed: int = -1
    sessions: dict[str, TrackedSession] = field(default_factory=dict)
    ended: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def remember_end(self, session_id: str) -> None:
        self.ended[session_id] = None
        while len(self.ended) > REMEMBERED_ENDS:
            self.ended.popitem(last=False)

    def low_watermark(self) -> int | None:
        """The earliest offset any open session still needs; None before anything was read."""
        if self.position is None:
            return None
        return min((session.restart_offset(self.position) for session in self.sessions.values()), default=self.position)

    def rewind_mark(self) -> int | None:
        if self.position is None:
            return None
        return min((session.rewind_offset(self.position) for session in self.sessions.values()), default=self.position)
