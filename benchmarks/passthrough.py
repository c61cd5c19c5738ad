"""Services without engines: audio goes through, every chunk gives one interim result. What is left is the platform.

python -m benchmarks.passthrough denoise|transcribe      over Kafka, settings as any service
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.events import (
    AudioDenoised,
    AudioReceived,
    Event,
    SegmentTranscribed,
    SessionEnded,
    SessionOpened,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
)
from voxrelay.process import main
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings
from voxrelay.topology import DENOISE, TRANSCRIBE


class _Positions:
    """State of both stages: how many samples each session has seen."""

    def __init__(self) -> None:
        self.samples: dict[str, int] = {}

    def snapshot(self, session_id: str) -> bytes | None:
        return b"%d" % self.samples.get(session_id, 0)

    def restore(self, session_id: str, state: bytes) -> None:
        self.samples[session_id] = int(state)

    def forget(self, session_id: str) -> None:
        self.samples.pop(session_id, None)


class PassAudio(_Positions):
    """denoise without denoising: the whole session is one utterance."""

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened):
                self.samples[session] = 0
                yield event
                yield Event(session, UtteranceStarted("u1", 0))
            elif session not in self.samples:
                continue
            elif isinstance(payload, AudioReceived):
                yield Event(session, AudioDenoised(self.samples[session], payload.pcm_s16le, "u1", 1.0))
                self.samples[session] += len(payload.pcm_s16le) // 2
            elif isinstance(payload, SessionEnded):
                end = self.samples[session]
                yield Event(session, UtteranceEnded("u1", 0, end, "end"))
                yield Event(session, SessionEnded(payload.reason, end / SAMPLE_RATE_HZ))
                yield Event(session, StageFinished("denoise", 1, end / SAMPLE_RATE_HZ))


class CountAudio(_Positions):
    """transcribe without transcribing: an interim a chunk, a final at the end."""

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened):
                self.samples[session] = 0
            elif isinstance(payload, AudioDenoised):
                self.samples[session] = self.samples.get(session, 0) + len(payload.pcm_s16le) // 2
                yield self._result(session, is_final=False)
            elif isinstance(payload, UtteranceEnded):
                yield self._result(session, is_final=True)
            elif isinstance(payload, SessionEnded):
                yield Event(session, StageFinished("transcribe", 1, payload.audio_seconds))

    def _result(self, session: str, is_final: bool) -> Event:
        end = self.samples[session]
        return Event(session, SegmentTranscribed("u1", end // 160 + is_final, is_final, 0.0, end / SAMPLE_RATE_HZ, "so far", 1.0))


def compose_denoise(_platform: PlatformSettings) -> Service:
    return Service("denoise", [StagePart(DENOISE, lambda _lane: PassAudio())])


def compose_transcribe(_platform: PlatformSettings) -> Service:
    return Service("transcribe", [StagePart(TRANSCRIBE, lambda _lane: CountAudio())])


if __name__ == "__main__":
    name = sys.argv[1]
    main(name, {"denoise": compose_denoise, "transcribe": compose_transcribe}[name])
