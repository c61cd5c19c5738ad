"""One request, made ready: its sentences with voices, and what is spoken cut into pieces at the rate asked for."""

from __future__ import annotations

from collections.abc import Iterator

from services.synth.engine import Sentence, Spoken, Synthesizer
from services.synth.script import names_in, sentences, turns, voice_names
from voxrelay.audio import float32_from_pcm_s16le, pcm_s16le_from_float32, seconds
from voxrelay.errors import Refused
from voxrelay.events import SynthesisProduced, SynthesisRequested, WordSpoken
from voxrelay.resampling import resample

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
    """Spoken sentences to pieces, numbered and placed; the last one says that it is."""

    def __init__(self, synthesizer: Synthesizer, sample_rate_hz: int, piece_ms: int) -> None:
        """``sample_rate_hz`` 0 keeps the engine's."""
        self._engine, self._from_hz = synthesizer.engine, synthesizer.sample_rate_hz
        self._to_hz = sample_rate_hz or self._from_hz
        self._piece_bytes = self._to_hz * piece_ms // 1000 * 2
        self._index = 0
        self._start = 0

    def cut(self, spoken: Spoken) -> Iterator[SynthesisProduced]:
        """The pieces of one sentence; each word stands at the piece it begins in."""
        pcm = spoken.pcm_s16le
        if self._to_hz != self._from_hz:
            pcm = pcm_s16le_from_float32(resample(float32_from_pcm_s16le(pcm), self._from_hz, self._to_hz))
        words = [(mark.text, mark.start_sample * self._to_hz // self._from_hz) for mark in spoken.marks]
        for start in range(0, len(pcm), self._piece_bytes):
            piece = pcm[start : start + self._piece_bytes]
            first, end = start // 2, (start + len(piece)) // 2
            is_end = start + len(piece) >= len(pcm)
            begun = tuple(
                WordSpoken(text, seconds(self._start + place - first, self._to_hz))
                for text, place in words
                if first <= place and (place < end or is_end)
            )
            yield self._piece(piece, begun, is_last=False)

    def last(self) -> SynthesisProduced:
        """Empty, and marked as the last."""
        return self._piece(b"", (), is_last=True)

    def _piece(self, pcm: bytes, words: tuple[WordSpoken, ...], *, is_last: bool) -> SynthesisProduced:
        produced = SynthesisProduced(self._index, is_last, self._start, self._to_hz, pcm, words, self._engine)
        self._index += 1
        self._start += len(pcm) // 2
        return produced
