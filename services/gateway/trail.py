"""What the log knows of one session: enough to go on with it in a process that never saw it.

Blocking; called from a thread. Uses readers of its own, outside every consumer group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from voxrelay import codec
from voxrelay.bus.api import Bus, Consumer, TopicPartition
from voxrelay.bus.span import read_to
from voxrelay.errors import Poison
from voxrelay.events import AudioReceived, EndReason, Event, FinalizeRequested, Lane, SessionConfig, SessionEnded, SessionOpened, SessionResumed
from voxrelay.topology import AUDIO_RECEIVED, GATEWAY_READS

READ_WITHIN_S = 20.0
CLOCKS_DIFFER_S = 5.0  # between gateways and brokers
PRODUCER = "gateway"


def _events(consumer: Consumer, ends: Mapping[TopicPartition, int], session_id: str) -> Iterator[Event]:
    """The session's events below ``ends``, in order within each partition. Raises ``Unavailable`` when the log does not give them in time."""
    key = session_id.encode()
    for records in read_to(consumer, ends, "The log did not give the session's records in time.", READ_WITHIN_S):
        for record in records:
            if record.key != key or record.offset >= ends[record.source]:
                continue
            try:
                yield codec.decode(record.key, record.value, record.headers)
            except Poison:
                continue  # its reader has put it to the dead letters


def results(bus: Bus, session_id: str, partition: int, opened_at: float, lane: Lane = "live") -> list[Event]:
    """Every result of the session so far, in order for each producer."""
    sources = [TopicPartition(topic.name(lane), partition) for topic in GATEWAY_READS if lane in topic.lanes]
    starts = bus.offsets_at(sources, opened_at - CLOCKS_DIFFER_S)
    ends = {source: end for source, (_, end) in bus.offsets(sources).items() if end > starts[source]}
    if not ends:
        return []
    consumer = bus.read({source: starts[source] for source in ends})
    try:
        return list(_events(consumer, ends, session_id))
    finally:
        consumer.close()


def config_of(events: list[Event]) -> SessionConfig | None:
    """As the session was opened; None where its opening is not among these results."""
    return next((event.payload.config for event in events if isinstance(event.payload, SessionOpened)), None)


def finalizes_of(events: list[Event]) -> int:
    return max((event.payload.ordinal for event in events if isinstance(event.payload, FinalizeRequested)), default=0)


@dataclass
class AudioTrail:
    """How far the session's audio came. ``read_on`` again after a fence has been written shows what slipped in before it."""

    bus: Bus
    session_id: str
    partition: int
    channels: int
    lane: Lane = "live"
    last_sequence: int = 0
    frames: int = 0  # of the session's own rate
    resumptions: int = 0
    ended: EndReason | None = None
    _consumer: Consumer | None = field(default=None, repr=False)
    _position: int = 0

    def read_from(self, since: float) -> None:
        """Everything written at this time or later, up to the end the log has now."""
        self.close()
        source = self._source
        self._position = self.bus.offsets_at([source], since - CLOCKS_DIFFER_S)[source]
        self._consumer = self.bus.read({source: self._position})
        self.read_on()

    def read_on(self) -> None:
        """What has come since, up to the end the log has now."""
        if self._consumer is None:
            raise ValueError("read_from comes first")
        end = self.bus.offsets([self._source])[self._source][1]
        if end <= self._position:
            return
        for event in _events(self._consumer, {self._source: end}, self.session_id):
            self._take(event)
        self._position = end

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def _source(self) -> TopicPartition:
        return TopicPartition(AUDIO_RECEIVED.name(self.lane), self.partition)

    def _take(self, event: Event) -> None:
        if event.producer != PRODUCER or event.sequence <= self.last_sequence:
            return  # of one who had been replaced already
        self.last_sequence = event.sequence
        payload = event.payload
        if isinstance(payload, AudioReceived):
            self.frames = payload.start_sample + len(payload.pcm_s16le) // (2 * self.channels)
        elif isinstance(payload, SessionResumed):
            self.resumptions = payload.resumption
        elif isinstance(payload, SessionEnded):
            self.ended = payload.reason
