"""What checkpoints keep of a session between two utterances."""

from __future__ import annotations

import json
from dataclasses import dataclass

from voxrelay.utterances import UtteranceAudio, pack_audio, unpack_audio


@dataclass(frozen=True, slots=True)
class SavedSession:
    """Wishes, count, model and the second of audio that an utterance yet to be announced may reach back into: 32 kB at most."""

    wanted: tuple[str, ...]
    wants_interims: bool
    finals: int
    packed_audio: bytes
    model: str = ""  # what all that follows goes to

    @classmethod
    def of(cls, wanted: tuple[str, ...], wants_interims: bool, finals: int, audio: UtteranceAudio, model: str) -> SavedSession:
        return cls(wanted, wants_interims, finals, pack_audio(audio), model)

    def audio(self) -> UtteranceAudio:
        return unpack_audio(self.packed_audio)

    def to_bytes(self) -> bytes:
        """One line of JSON, then the audio, compressed."""
        head = {"wanted": self.wanted, "wants_interims": self.wants_interims, "finals": self.finals, "model": self.model}
        return json.dumps(head).encode() + b"\n" + self.packed_audio

    @classmethod
    def from_bytes(cls, state: bytes) -> SavedSession:
        line, _, audio = state.partition(b"\n")
        head = json.loads(line)
        return cls(tuple(head["wanted"]), head["wants_interims"], head["finals"], audio, head.get("model", ""))
