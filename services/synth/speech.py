"""One request, made ready: its sentences with voices, and what is spoken cut into pieces at the rate asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.synth.casting import names_in, voice_names
from services.synth.engine import Sentence, Spoken, Synthesizer
from voxrelay.audio import Float32Array, float32_from_pcm_s16le, pcm_s16le_from_float32, seconds
from voxrelay.errors import Refused
from voxrelay.events import Engine, SynthesisProduced, SynthesisRequested, WordSpoken
from voxrelay.resampling import StreamResampler
from voxrelay.script import sentences, turns

VARIANTS = ("f2", "m3", "f4", "m7", "f5")  # of the base voice, for the speakers after the first
USUAL_LANGUAGE = "en-us"
LEAST_RATE_HZ, MOST_RATE_HZ = 8_000, 48_000
LEAST_SPEED, MOST_SPEED = 0.25, 4.0


def plan(request: SynthesisRequested, synthesizer: Synthesizer, max_characters: int) -> list[Sentence]:
    """The request's sentences. Raises ``Refused`` for what can never be spoken: the gateway answers with it."""
    if len(request.text) > max_characters:
        raise Refused("TEXT_TOO_LONG", f"At most {max_characters} characters at once; send it in parts.")
    if request.sample_rate_hz and not LEAST_RATE_HZ <= request.sample_rate_hz <= MOST_RATE_HZ:
        raise Refused("UNSUPPORTED_SAMPLE_RATE", f"Speech can be had at {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz, or 0 for the voice's own rate.")
    if not LEAST_SPEED <= request.speed <= MOST_SPEED:
        raise Refused("INVALID_PARAMETER", f"speed must be {LEAST_SPEED} to {MOST_SPEED}.")
    said = turns(request.text)
    names = voice_names(request.voice, _base(request.language, synthesizer), VARIANTS, 1 + max((turn.speaker for turn in said), default=0))
    voices = [synthesizer.find(name) for name in names]
    if None in (*voices, *(synthesizer.find(name) for name in names_in(request.voice))):
        raise Refused("UNKNOWN_VOICE", "There is no such voice; gRPC ListVoices names them.")
    known = [voice.name for voice in voices if voice is not None]
    return [Sentence(sentence, known[turn.speaker], request.speed) for turn in said for sentence in sentences(turn.text)]


def _base(language: str, synthesizer: Synthesizer) -> str:
    """The voice of a language: of the tag as it is, else of its primary part."""
    tag = language.lower() or USUAL_LANGUAGE
    if tag == "en":
        tag = USUAL_LANGUAGE
    for name in (tag, tag.partition("-")[0]):
        if synthesizer.find(name) is not None:
            return name
    raise Refused("UNSUPPORTED_LANGUAGE", "There is no voice of this language; gRPC ListVoices names them.")


class Cutter:
    """Spoken sentences to pieces, numbered and placed: one signal without seams, all pieces but the last of the same length.

    Where pieces begin does not depend on the sentences' lengths, and no piece waits for the next sentence but the rest of the last.
    """

    def __init__(self, engine: Engine, from_hz: int, to_hz: int, piece_ms: int) -> None:
        """``engine`` is who speaks, at ``from_hz``; ``to_hz`` 0 keeps that."""
        self._engine, self._from_hz = engine, from_hz
        self._to_hz = to_hz or from_hz
        self._piece_samples = max(1, self._to_hz * piece_ms // 1000)
        self._step_samples = max(1, self._from_hz * piece_ms // 1000)
        self._resampler = StreamResampler(self._from_hz, self._to_hz)
        self._waiting: Float32Array = np.zeros(0, dtype=np.float32)
        self._words: list[tuple[str, int]] = []  # of what waits, with their first samples at the engine's rate
        self._taken = 0  # samples, at the engine's rate
        self._index = 0
        self._start = 0

    def cut(self, spoken: Spoken) -> Iterator[SynthesisProduced]:
        """The pieces one sentence completes; each word stands at the piece it begins in. What may be the last is kept."""
        samples = float32_from_pcm_s16le(spoken.pcm_s16le)
        self._words += [(mark.text, self._taken + mark.start_sample) for mark in spoken.marks]
        self._taken += samples.size
        for start in range(0, samples.size, self._step_samples):  # the first piece does not wait until the whole sentence is resampled
            self._waiting = np.concatenate((self._waiting, self._resampler.push(samples[start : start + self._step_samples])))
            yield from self._whole_pieces()

    def last(self) -> Iterator[SynthesisProduced]:
        """The rest, of which the last piece says that it is; empty only where nothing was said at all."""
        self._waiting = np.concatenate((self._waiting, self._resampler.finish()))
        yield from self._whole_pieces()
        yield self._piece(self._waiting.size, is_last=True)

    def _whole_pieces(self) -> Iterator[SynthesisProduced]:
        while self._waiting.size > self._piece_samples:
            yield self._piece(self._piece_samples, is_last=False)

    def _piece(self, samples: int, *, is_last: bool) -> SynthesisProduced:
        end = self._start + samples
        begun = [word for word in self._words if is_last or word[1] * self._to_hz < end * self._from_hz]
        self._words = self._words[len(begun) :]
        words = tuple(WordSpoken(text, seconds(start_sample, self._from_hz)) for text, start_sample in begun)
        pcm_s16le = pcm_s16le_from_float32(self._waiting[:samples])
        produced = SynthesisProduced(self._index, is_last, self._start, self._to_hz, pcm_s16le, words, self._engine)
        self._waiting = self._waiting[samples:]
        self._index += 1
        self._start = end
        return produced
