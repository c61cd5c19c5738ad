"""What the log knows of one session: enough to go on with it in a process that never saw it."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.gateway.sessions.shared_reading import Offsets, SharedReading
from voxrelay.events import AudioReceived, EndReason, Event, FinalizeRequested, Lane, SessionConfig, SessionEnded, SessionOpened, SessionResumed
from voxrelay.topology import AUDIO_RECEIVED, GATEWAY_READS

PRODUCER = "gateway"


async def results(reading: SharedReading, session_id: str, partition: int, opened_at: float, lane: Lane = "live") -> list[Event]:
    """Every result of the session so far, in order for each producer. Raises ``Unavailable``."""
    events: list[Event] = []
    await reading.read(session_id, tuple(topic.name(lane) for topic in GATEWAY_READS if lane in topic.lanes), partition, opened_at, events.append)
    return events


def config_of(events: list[Event]) -> SessionConfig | None:
    """As the session was opened; None where its opening is not among these results."""
    return next((event.payload.config for event in events if isinstance(event.payload, SessionOpened)), None)


def finalizes_of(events: list[Event]) -> int:
    return max((event.payload.ordinal for event in events if isinstance(event.payload, FinalizeRequested)), default=0)


@dataclass
class AudioTrail:
    """How far the session's audio came. ``read_on`` again after a fence has been written shows what slipped in before it.

    Both raise ``Unavailable`` when the log does not give the records in time.
    """

    reading: SharedReading
    session_id: str
    partition: int
    lane: Lane = "live"
    last_sequence: int = 0
    resumptions: int = 0
    ended: EndReason | None = None
    _position: Offsets = field(default_factory=dict)
    _last_start: int = 0
    _last_bytes: int = 0

    def frames(self, channels: int) -> int:
        """Of the session's own rate, from its beginning."""
        return self._last_start + self._last_bytes // (2 * channels)

    async def read_from(self, since: float) -> None:
        """Everything written at this time or later, up to the end the log has now."""
        await self._read(since)

    async def read_on(self) -> None:
        """What has come since, up to the end the log has now."""
        if not self._position:
            raise ValueError("read_from comes first")
        await self._read(self._position)

    async def _read(self, since: float | Offsets) -> None:
        self._position = await self.reading.read(self.session_id, (AUDIO_RECEIVED.name(self.lane),), self.partition, since, self._take)

    def _take(self, event: Event) -> None:
        if event.producer != PRODUCER or event.sequence <= self.last_sequence:
            return  # of one who had been replaced already
        self.last_sequence = event.sequence
        payload = event.payload
        if isinstance(payload, AudioReceived):
            self._last_start, self._last_bytes = payload.start_sample, len(payload.pcm_s16le)
        elif isinstance(payload, SessionResumed):
            self.resumptions = payload.resumption
        elif isinstance(payload, SessionEnded):
            self.ended = payload.reason
