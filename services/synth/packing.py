"""Speech, sentence after sentence, to the pieces that are published: numbered, gapless, at the rate asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.synth.engine import Piece, WordMark
from services.synth.resampling import StreamResampler
from voxrelay.audio import Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.events import Engine, SynthesisProduced, WordSpoken


class Packer:
    """One request's. All pieces but the last are ``piece_ms`` long, and which words stand at which follows from the speech alone."""

    def __init__(self, engine: Engine, from_hz: int, to_hz: int, piece_ms: int) -> None:
        self._engine, self._from_hz, self._to_hz = engine, from_hz, to_hz
        self._piece_samples = max(1, to_hz * piece_ms // 1000)
        self._resampler = StreamResampler(from_hz, to_hz)
        self._waiting: Float32Array = np.zeros(0, dtype=np.float32)
        self._words: list[WordSpoken] = []  # of what waits, and of what the resampler still holds
        self._taken = 0  # samples of speech, at the engine's rate
        self._sentence_start = 0
        self._index = 0
        self._given = 0  # samples published

    def begin_sentence(self) -> None:
        """The times of the words that follow count from here."""
        self._sentence_start = self._taken

    def push(self, piece: Piece) -> Iterator[SynthesisProduced]:
        """The pieces this completes. What may turn out to be the last is kept."""
        samples = float32_from_pcm_s16le(piece.pcm_s16le)
        self._taken += samples.size
        self._words += [self._placed(word) for word in piece.words]
        self._waiting = np.concatenate((self._waiting, self._resampler.push(samples)))
        while self._waiting.size > self._piece_samples:
            yield self._take(self._piece_samples, is_last=False)

    def finish(self) -> Iterator[SynthesisProduced]:
        """The rest; its last piece says that it is."""
        self._waiting = np.concatenate((self._waiting, self._resampler.finish()))
        while self._waiting.size > self._piece_samples:
            yield self._take(self._piece_samples, is_last=False)
        yield self._take(self._waiting.size, is_last=True)

    def _placed(self, word: WordMark) -> WordSpoken:
        return WordSpoken(word.text, round(self._sentence_start / self._from_hz + word.start_s, 6))

    def _take(self, samples: int, *, is_last: bool) -> SynthesisProduced:
        end_s = (self._given + samples) / self._to_hz
        begun = len(self._words) if is_last else sum(word.start_s < end_s for word in self._words)  # they are in the order of their times
        pcm_s16le = pcm_s16le_from_float32(self._waiting[:samples])
        produced = SynthesisProduced(self._index, is_last, self._given, self._to_hz, pcm_s16le, tuple(self._words[:begun]), self._engine)
        self._waiting = self._waiting[samples:]
        del self._words[:begun]
        self._index += 1
        self._given += samples
        return produced
