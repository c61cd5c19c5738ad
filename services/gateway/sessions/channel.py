"""The way of one session onto the log. On the event loop, which also asks the producer what it delivered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from voxrelay import codec
from voxrelay.bus.api import Headers, Producer
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import Event, Lane, Payload
from voxrelay.telemetry import PUBLISH_SECONDS
from voxrelay.topology import Topic

RETRY_S = 0.01
PRODUCER = "gateway"
SEQUENCES_A_PROCESS = 1 << 32  # records one gateway process may send for a session before another takes it over


class Channel:
    """The way of one session onto the log: sequence, stamps, acknowledgements."""

    def __init__(
        self, producer: Producer, clock: Callable[[], float], most_on_its_way: int, session_id: str, topic: Topic, lane: Lane, traceparent: str
    ) -> None:
        """``most_on_its_way``: bytes that may be unacknowledged; more wait."""
        self._producer, self._clock, self._most_on_its_way = producer, clock, most_on_its_way
        self.session_id, self._topic, self._name, self.traceparent = session_id, topic, topic.name(lane), traceparent
        self.lane = lane
        self.last_sent_at = clock()
        self._sequence = 0
        self._audio = codec.AudioEncoder(session_id, PRODUCER, traceparent)
        self._on_its_way: deque[tuple[int, float]] = deque()  # bytes, and when they were received
        self.unacknowledged_bytes = 0
        self.failure: Exception | None = None

    @property
    def last_sequence(self) -> int:
        return self._sequence

    def go_on_after(self, last_sequence: int) -> None:
        """Whatever another process still sends for this session has a lower sequence than anything from here."""
        self._sequence = (last_sequence // SEQUENCES_A_PROCESS + 1) * SEQUENCES_A_PROCESS

    async def settle(self) -> None:
        """Wait until the log has everything that was sent. Raises ``Refused`` when it took it no more."""
        while self.unacknowledged_bytes and self.failure is None:
            await asyncio.sleep(RETRY_S)
        self._check()

    @property
    def has_room(self) -> bool:
        """Whether so little is on its way that more may follow."""
        return self.unacknowledged_bytes <= self._most_on_its_way and self.failure is None

    async def send(self, payload: Payload) -> None:
        """Waits while too much is on its way. Raises ``Refused`` when the log took it no more."""
        while not self.put(payload):
            await asyncio.sleep(RETRY_S)

    def put(self, payload: Payload) -> bool:
        """As ``send``, at once; False, with nothing done, where it would have to wait."""
        if not self._may_put():
            return False
        now, sequence = self._clock(), self._sequence + 1
        event = Event(self.session_id, payload, PRODUCER, sequence, f"{self.session_id}/{PRODUCER}/{sequence}", now, now, self.traceparent)
        _, value, headers = codec.encode(event, self._topic.encoding)
        return self._hand_over(value, headers, sequence, now)

    def put_audio(self, start_sample: int, pcm_s16le: bytes) -> bool:
        """``put`` of ``AudioReceived``, which is nearly all that is ever sent."""
        if not self._may_put():
            return False
        now, sequence = self._clock(), self._sequence + 1
        value, headers = self._audio.encode(start_sample, pcm_s16le, sequence, now)
        return self._hand_over(value, headers, sequence, now)

    def _may_put(self) -> bool:
        self._check()
        return self.has_room

    def _check(self) -> None:
        if self.failure is not None:
            raise Refused("LOG_UNAVAILABLE", "The event log does not take audio; open a new session in a moment.") from self.failure

    def _hand_over(self, value: bytes, headers: Headers, sequence: int, now: float) -> bool:
        self.unacknowledged_bytes += len(value)
        self._on_its_way.append((len(value), now))
        try:
            self._producer.send(self._name, self._audio.key, value, headers, on_delivered=self._delivered)
        except Unavailable:  # its queue is full
            self.unacknowledged_bytes -= len(value)
            self._on_its_way.pop()
            return False
        self._sequence, self.last_sent_at = sequence, now
        return True

    def _delivered(self, error: Exception | None) -> None:
        """Records of one session are acknowledged, or given up, in their order."""
        size, sent_at = self._on_its_way.popleft()
        self.unacknowledged_bytes -= size
        PUBLISH_SECONDS.observe(self._clock() - sent_at)
        if error is not None:
            self.failure = error
