"""From the denoised stream back to utterances: what every stage behind denoise needs.

Pure bookkeeping on events; one ``UtteranceAudio`` a session, used by one thread.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.events import AudioDenoised, Payload, UtteranceEnded, UtteranceStarted

LOOK_BACK_SAMPLES = 2 * SAMPLE_RATE_HZ  # an utterance starts at most one second before its announcement; twice that is kept
KEPT_SAMPLES = SAMPLE_RATE_HZ  # of it, what a snapshot keeps
_NOTHING = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class UtterancePiece:
    """The next stretch of one utterance: float32 samples at 16 kHz, gapless from the utterance's start.

    ``ended`` is set on the last piece (which may hold no samples). ``surplus_samples`` counts samples handed out earlier that turned
    out to lie behind the utterance's end: an utterance's end is announced after the pause that ended it.
    """

    utterance_id: str
    start_sample: int  # of this piece, from the session's start
    samples: Float32Array
    utterance_start_sample: int
    ended: UtteranceEnded | None = None
    surplus_samples: int = 0


class UtteranceAudio:
    """Turns one session's audio.denoised payloads into pieces of utterances.

    Outside an utterance at most two seconds of audio are kept. All state is a function of the payloads seen, so a replay from
    any point outside an utterance (``is_between``), at least two seconds of audio later or with ``tail`` restored, gives the same.
    """

    def __init__(self, tail_start_sample: int = 0, tail: Float32Array = _NOTHING) -> None:
        self._chunks = deque([tail] if tail.size else [])  # as they came: who keeps a piece keeps no more than its chunk in memory
        self._start = tail_start_sample  # of the first of them
        self._end = tail_start_sample + tail.size
        self._open: UtteranceStarted | None = None
        self._handed_out = 0  # first sample of the open utterance not yet handed out

    @property
    def is_between(self) -> bool:
        """Whether no utterance is open: the moment for a snapshot."""
        return self._open is None

    @property
    def tail(self) -> tuple[int, Float32Array]:
        """What a snapshot must keep: first sample and samples of the recent audio."""
        return self._start, self._between(self._start, self._end)

    @property
    def position(self) -> int:
        """The sample after the newest one seen."""
        return self._end

    def push(self, payload: Payload) -> Iterator[UtterancePiece]:
        """The pieces this payload completes: none outside utterances, else one."""
        if isinstance(payload, AudioDenoised):
            self._append(payload)
            if self._open is not None:
                yield self._piece(self.position)
        elif isinstance(payload, UtteranceStarted):
            self._open = payload
            self._handed_out = payload.start_sample
            yield self._piece(self.position)
        elif isinstance(payload, UtteranceEnded) and self._open is not None:
            surplus = max(0, self._handed_out - payload.end_sample)
            yield self._piece(payload.end_sample, payload, surplus)
            self._open = None
            self._trim()

    def _append(self, chunk: AudioDenoised) -> None:
        samples = float32_from_pcm_s16le(chunk.pcm_s16le)
        if not self._chunks:
            self._start = self._end = chunk.start_sample
        if samples.size:
            self._chunks.append(samples)
            self._end += samples.size
        self._trim()

    def _trim(self) -> None:
        keep_from = self._end - LOOK_BACK_SAMPLES
        if self._open is not None:
            keep_from = min(keep_from, self._handed_out)
        while self._start < keep_from:
            first = self._chunks.popleft()
            surplus = keep_from - self._start
            if surplus < first.size:
                self._chunks.appendleft(first[surplus:])
            self._start += min(surplus, first.size)

    def _between(self, start: int, end: int) -> Float32Array:
        """These samples, which are among the chunks; of one chunk without a copy."""
        found: deque[Float32Array] = deque()
        at = self._end
        for chunk in reversed(self._chunks):
            at -= chunk.size
            if at < end:
                found.appendleft(chunk[max(0, start - at) : end - at])
            if at <= start:
                break
        return found[0] if len(found) == 1 else np.concatenate((_NOTHING, *found))

    def _piece(self, until: int, ended: UtteranceEnded | None = None, surplus: int = 0) -> UtterancePiece:
        if self._open is None:
            raise AssertionError("a piece belongs to an open utterance")
        start = max(self._handed_out, self._start)
        until = max(until, start)
        self._handed_out = until
        return UtterancePiece(self._open.utterance_id, start, self._between(start, until), self._open.start_sample, ended, surplus)


def pack_audio(audio: UtteranceAudio) -> bytes:
    """The recent audio for a snapshot between two utterances: at most a second of it, 32 kB before compression."""
    start, tail = audio.tail
    kept = tail[-KEPT_SAMPLES:]
    return (start + tail.size - kept.size).to_bytes(8, "big") + zlib.compress(pcm_s16le_from_float32(kept), 1)


def unpack_audio(state: bytes) -> UtteranceAudio:
    return UtteranceAudio(int.from_bytes(state[:8], "big"), float32_from_pcm_s16le(zlib.decompress(state[8:])))
