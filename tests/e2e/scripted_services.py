"""denoise and transcribe without engines, for tests with many sessions: every second is an utterance, and its words say which samples were in it.

python -m tests.e2e.scripted_services denoise|transcribe      over Kafka, settings as any service

A sample that is lost, doubled or out of its place changes the words: they are a digest of the utterance's audio.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.errors import Poison
from voxrelay.events import (
    AudioDenoised,
    AudioReceived,
    Event,
    FinalizeRequested,
    SegmentTranscribed,
    SessionEnded,
    SessionOpened,
    StageFinished,
    UtteranceEnded,
    UtteranceStarted,
    Word,
)
from voxrelay.process import main
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings
from voxrelay.topology import DENOISE, TRANSCRIBE


class _Scripted:
    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}

    def snapshot(self, session_id: str) -> bytes | None:
        return json.dumps(self.state[session_id]).encode() if session_id in self.state else None

    def restore(self, session_id: str, state: bytes) -> None:
        self.state[session_id] = json.loads(state)

    def forget(self, session_id: str) -> None:
        self.state.pop(session_id, None)


class CutSeconds(_Scripted):
    """denoise: audio passes as it is, in utterances of one second."""

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened):
                self.state[session] = {"at": 0, "start": -1, "count": 0}
                yield event
            elif session not in self.state:
                continue
            elif isinstance(payload, AudioReceived):
                yield from self._pass_on(session, payload, self.state[session], event.id)
            elif isinstance(payload, FinalizeRequested):
                yield event
            elif isinstance(payload, SessionEnded):
                yield from self._end(session, payload, self.state.pop(session))

    def _pass_on(self, session: str, payload: AudioReceived, state: dict[str, Any], event_id: str) -> Iterator[Event]:
        if payload.start_sample != state["at"]:
            raise Poison("The audio does not go on where it was.", event_id)
        pcm = payload.pcm_s16le
        while pcm:
            if state["start"] < 0:
                state["start"], state["count"] = state["at"], state["count"] + 1
                yield Event(session, UtteranceStarted(f"u{state['count']}", state["at"]))
            take = min(len(pcm) // 2, state["start"] + SAMPLE_RATE_HZ - state["at"])
            yield Event(session, AudioDenoised(state["at"], pcm[: take * 2], f"u{state['count']}", 1.0))
            state["at"] += take
            pcm = pcm[take * 2 :]
            if state["at"] == state["start"] + SAMPLE_RATE_HZ:
                yield self._close(session, state, "pause")

    def _close(self, session: str, state: dict[str, Any], reason: Any) -> Event:
        ended = UtteranceEnded(f"u{state['count']}", state["start"], state["at"], reason)
        state["start"] = -1
        return Event(session, ended)

    def _end(self, session: str, payload: SessionEnded, state: dict[str, Any]) -> Iterator[Event]:
        if state["start"] >= 0:
            yield self._close(session, state, "end")
        audio_s = state["at"] / SAMPLE_RATE_HZ
        yield Event(session, SessionEnded(payload.reason, audio_s))
        yield Event(session, StageFinished("denoise", state["count"], audio_s))


class DigestWords(_Scripted):
    """transcribe: the word of an utterance is a digest of its samples."""

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        for event in batch:
            session, payload = event.session_id, event.payload
            if isinstance(payload, SessionOpened):
                self.state[session] = {"heard": "", "count": 0}
            elif session not in self.state:
                continue
            elif isinstance(payload, AudioDenoised):
                self.state[session]["heard"] += payload.pcm_s16le.hex()
            elif isinstance(payload, UtteranceEnded):
                state = self.state[session]
                word = hashlib.sha256(bytes.fromhex(state["heard"])).hexdigest()[:16]
                self.state[session] = {"heard": "", "count": state["count"] + 1}
                start_s, end_s = payload.start_sample / SAMPLE_RATE_HZ, payload.end_sample / SAMPLE_RATE_HZ
                words = (Word(word, start_s, end_s, 1.0),)
                yield Event(session, SegmentTranscribed(payload.utterance_id, 1, True, start_s, end_s, word, 1.0, words, "en"))
            elif isinstance(payload, SessionEnded):
                yield Event(session, StageFinished("transcribe", self.state.pop(session)["count"], payload.audio_seconds))


def compose_denoise(_platform: PlatformSettings) -> Service:
    return Service("denoise", [StagePart(DENOISE, lambda _lane: CutSeconds())])


def compose_transcribe(_platform: PlatformSettings) -> Service:
    return Service("transcribe", [StagePart(TRANSCRIBE, lambda _lane: DigestWords())])


if __name__ == "__main__":
    main(sys.argv[1], {"denoise": compose_denoise, "transcribe": compose_transcribe}[sys.argv[1]])
