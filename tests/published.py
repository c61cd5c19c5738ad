"""What the stages publish while a test goes on: every copy of every final, as it lies on the log."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Self

from voxrelay import codec
from voxrelay.bus.api import Bus, TopicPartition
from voxrelay.events import AudioDenoised, Event, Payload, SegmentTranscribed
from voxrelay.topology import AUDIO_DENOISED, SEGMENT_TRANSCRIBED, Topic

WITHIN_S = 90.0


class Copies:
    """What is published of some sessions on a topic from now on, by session and sequence. One thread uses it."""

    topic: Topic

    def __init__(self, bus: Bus, sessions: Collection[str]) -> None:
        topic, self._sessions = self.topic.name("live"), frozenset(sessions)
        sources = [TopicPartition(topic, number) for number in range(bus.partitions(topic))]
        self._consumer = bus.read({source: end for source, (_, end) in bus.offsets(sources).items()})
        self.copies: dict[str, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))

    def until(self, condition: Callable[[Self], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition(self):
            assert time.monotonic() < deadline, self.seen()
            for record in self._consumer.poll(500, 0.1):
                event = codec.decode(record.key, record.value, record.headers)
                if event.session_id in self._sessions and self.keeps(event):
                    self.copies[event.session_id][event.sequence].append(record.value or b"")
                    self.take(event)

    def keeps(self, event: Event) -> bool:
        return event.payload.is_durable

    def take(self, event: Event) -> None:
        """One that is kept."""

    def seen(self) -> object:
        """For whoever waits in vain."""
        return {session_id: len(copies) for session_id, copies in self.copies.items()}

    def close(self) -> None:
        self._consumer.close()


class Cleaned(Copies):
    """What denoise gives on; ``payloads`` are the first of each sequence."""

    topic = AUDIO_DENOISED

    def __init__(self, bus: Bus, sessions: Collection[str]) -> None:
        super().__init__(bus, sessions)
        self.payloads: dict[str, dict[int, Payload]] = defaultdict(dict)

    def take(self, event: Event) -> None:
        self.payloads[event.session_id].setdefault(event.sequence, event.payload)

    def pcm(self, session_id: str) -> bytes:
        audio = [payload for _, payload in sorted(self.payloads[session_id].items()) if isinstance(payload, AudioDenoised)]
        return b"".join(payload.pcm_s16le for payload in audio)


class Finals(Copies):
    """Transcripts."""

    topic = SEGMENT_TRANSCRIBED

    def keeps(self, event: Event) -> bool:
        return isinstance(event.payload, SegmentTranscribed) and event.payload.is_final

    def seen(self) -> object:
        return {session: self.models(session)[-5:] for session in self.copies}

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
