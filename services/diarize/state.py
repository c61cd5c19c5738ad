"""What a checkpoint keeps of a session between two utterances."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.diarize.speakers import Heard, Older, Speakers


@dataclass(frozen=True, slots=True)
class SavedSession:
    """``most`` speakers, wishes, counts, model, speakers, and the second of audio an utterance yet to be announced may reach back into.

    100 kB at most with the default memory, half of that as a rule: a byte an element of each kept window, compressed.
    """

    most: int
    wants_interims: bool
    finals: int
    packed_audio: bytes
    packed_speakers: bytes
    model: str = ""  # the session's, from its first word to its last

    def to_bytes(self) -> bytes:
        head = {"most": self.most, "wants_interims": self.wants_interims, "finals": self.finals, "model": self.model}
        return json.dumps(head | {"audio": len(self.packed_audio)}).encode() + b"\n" + self.packed_audio + self.packed_speakers

    @classmethod
    def from_bytes(cls, state: bytes) -> SavedSession:
        line, _, rest = state.partition(b"\n")
        head = json.loads(line)
        audio = head["audio"]
        return cls(head["most"], head["wants_interims"], head["finals"], rest[:audio], rest[audio:], head.get("model", ""))


def pack_speakers(speakers: Speakers) -> bytes:
    """All that ``Speakers`` knows: a line of JSON, the sums of the older windows, the kept windows; compressed."""
    head = {
        "heard": [
            (one.utterance_id, one.start_sample, one.end_sample, one.revision, one.starts, one.speech, one.labels, one.confidences)
            for one in speakers.heard
        ],
        "older": [(label, older.windows, older.samples) for label, older in speakers.older.items()],
        "settled": sorted(speakers.settled),
    }
    parts = [json.dumps(head, separators=(",", ":")).encode(), b"\n"]
    parts += [older.sums.astype("<i8").tobytes() for older in speakers.older.values()]
    parts += [one.vectors.tobytes() for one in speakers.heard]
    return zlib.compress(b"".join(parts), 1)


def unpack_speakers(state: bytes, into: Speakers, dimensions: int) -> None:
    """Gives ``into``, which has heard nothing yet, what was packed."""
    line, _, rest = zlib.decompress(state).partition(b"\n")
    head = json.loads(line)
    at = 0
    for label, windows, samples in head["older"]:
        into.older[label] = Older(np.frombuffer(rest, dtype="<i8", count=dimensions, offset=at).astype(np.int64), windows, samples)
        at += 8 * dimensions
    for fields in head["heard"]:
        one = _heard(fields, rest, at, dimensions)
        into.heard.append(one)
        at += one.vectors.size
    into.settled.update(head["settled"])


def _heard(fields: list[Any], vectors: bytes, at: int, dimensions: int) -> Heard:
    utterance_id, start_sample, end_sample, revision, starts, speech, labels, confidences = fields
    rows = np.frombuffer(vectors, dtype=np.int8, count=len(starts) * dimensions, offset=at).reshape(len(starts), dimensions)
    return Heard(utterance_id, start_sample, end_sample, revision, starts, rows, [(one, other) for one, other in speech], labels, confidences)
