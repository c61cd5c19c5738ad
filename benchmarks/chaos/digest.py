"""transcribe with an engine that costs next to nothing: the words of an utterance are a digest of its samples.

    python -m benchmarks.chaos.digest      over Kafka, settings as any service

Everything around the decoding is the real service, with the bundled engine's streams and its worker process. A sample that is lost, doubled,
changed or out of its place changes the words, and a machine of two cores carries as many callers as denoise allows.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.process import main

FOLLOWED = 16  # utterances that the process hears while they last; the others are given to it when they have ended
Heard = tuple[tuple[str, float, float, float], ...]


class Decoding:
    """In place of ``services.transcribe.engines.pocketsphinx_decoding.Decoding``, which says what the methods promise."""

    def __init__(self, **_options: Any) -> None:
        self._held: dict[int, bytearray] = {}

    def follow(self, stream: int, start: int, pcm_s16le: bytes, _vocabulary: tuple[str, ...]) -> Heard | None:
        if start and stream not in self._held:
            return None
        held = self._held.setdefault(stream, bytearray())
        held += pcm_s16le
        return ()

    def finish(self, stream: int, start: int, pcm_s16le: bytes, _vocabulary: tuple[str, ...]) -> Heard | None:
        held = self._held.pop(stream, None)
        if start and held is None:
            return None
        pcm = bytes(held or b"") + pcm_s16le if start else pcm_s16le
        return ((hashlib.sha256(pcm).hexdigest()[:16], 0.0, len(pcm) / 2 / SAMPLE_RATE_HZ, 1.0),)

    def leave(self, stream: int) -> None:
        self._held.pop(stream, None)


if __name__ == "__main__":
    from services.transcribe.compose import compose
    from services.transcribe.engines import pocketsphinx

    pocketsphinx.DECODING = "benchmarks.chaos.digest:Decoding"
    os.environ["VOXRELAY_TRANSCRIBE_FOLLOWED"] = str(FOLLOWED)
    main("transcribe", compose)
