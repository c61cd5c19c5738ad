"""What the stages publish while a test goes on: every copy of every final, as it lies on the log."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable

from voxrelay import codec
from voxrelay.bus.api import Bus, TopicPartition
from voxrelay.events import SegmentTranscribed
from voxrelay.topology import SEGMENT_TRANSCRIBED

WITHIN_S = 90.0


class Finals:
    """Transcripts published from now on, by session and sequence. One thread uses it."""

    def __init__(self, bus: Bus) -> None:
        topic = SEGMENT_TRANSCRIBED.name("live")
        sources = [TopicPartition(topic, number) for number in range(bus.partitions(topic))]
        self._consumer = bus.read({source: end for source, (_, end) in bus.offsets(sources).items()})
        self.copies: dict[str, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))

    def until(self, condition: Callable[[Finals], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition(self):
            assert time.monotonic() < deadline, {session: self.models(session) for session in self.copies}
            for record in self._consumer.poll(500, 0.1):
                event = codec.decode(record.key, record.value, record.headers)
                if isinstance(event.payload, SegmentTranscribed) and event.payload.is_final:
                    self.copies[event.session_id][event.sequence].append(record.value or b"")

    def models(self, session_id: str) -> list[str]:
        """Of the session's finals, in order: which model made them; empty for the engine of the settings."""
        copies = self.copies[session_id]
        return [json.loads(copies[number][0])["engine"]["version"].partition("+")[2] for number in sorted(copies)]

    def texts(self, session_id: str) -> list[str]:
        copies = self.copies[session_id]
        return [json.loads(copies[number][0])["text"] for number in sorted(copies)]

    @property
    def newest_models(self) -> set[str]:
        """Those of each session's last final so far."""
        return {self.models(session_id)[-1] for session_id in self.copies}

    def close(self) -> None:
        self._consumer.close()
