"""What a checkpoint keeps of a session between two utterances."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from services.transcribe.engine import StreamOptions
from voxrelay.audio import SAMPLE_RATE_HZ, float32_from_pcm_s16le, pcm_s16le_from_float32
from voxrelay.utterances import UtteranceAudio

LOOK_BACK_SAMPLES = SAMPLE_RATE_HZ  # an utterance starts at most so far before the newest audio at its announcement


@dataclass(frozen=True, slots=True)
class SavedSession:
    """Options, count and the second of audio that an utterance yet to be announced may reach back into: 32 kB at most."""

    options: StreamOptions
    wants_interims: bool
    finals: int
    tail_start_sample: int
    tail_pcm_s16le: bytes

    @classmethod
    def of(cls, options: StreamOptions, wants_interims: bool, finals: int, audio: UtteranceAudio) -> SavedSession:
        start, tail = audio.tail
        kept = tail[-LOOK_BACK_SAMPLES:]
        return cls(options, wants_interims, finals, start + tail.size - kept.size, pcm_s16le_from_float32(kept))

    def audio(self) -> UtteranceAudio:
        return UtteranceAudio(self.tail_start_sample, float32_from_pcm_s16le(self.tail_pcm_s16le))

    def to_bytes(self) -> bytes:
        """One line of JSON, then the audio, compressed."""
        head = {
            "language": self.options.language,
            "vocabulary": self.options.vocabulary,
            "wants_interims": self.wants_interims,
            "finals": self.finals,
            "tail_start_sample": self.tail_start_sample,
        }
        return json.dumps(head).encode() + b"\n" + zlib.compress(self.tail_pcm_s16le, 1)

    @classmethod
    def from_bytes(cls, state: bytes) -> SavedSession:
        line, _, audio = state.partition(b"\n")
        head = json.loads(line)
        options = StreamOptions(head["language"], tuple(head["vocabulary"]))
        return cls(options, head["wants_interims"], head["finals"], head["tail_start_sample"], zlib.decompress(audio))
