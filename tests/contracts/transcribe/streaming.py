"""Utterances given to a transcriber at once and piece by piece."""

from __future__ import annotations

import numpy as np

from services.transcribe.engine import Advance, Hypothesis, StreamOptions, Transcriber
from voxrelay.audio import Float32Array

NOTHING = np.zeros(0, dtype=np.float32)
PLAIN = StreamOptions()


def final(transcriber: Transcriber, samples: Float32Array, options: StreamOptions = PLAIN) -> Hypothesis:
    """All at once, followed by nobody."""
    stream = transcriber.open(options, wants_interims=False, is_urgent=False)
    (hypothesis,) = transcriber.advance([Advance(stream, samples, is_last=True)])
    assert hypothesis is not None
    return hypothesis


def streamed(transcriber: Transcriber, samples: Float32Array, step: int, surplus: Float32Array = NOTHING) -> tuple[Hypothesis, list[Hypothesis]]:
    """Piece by piece with interims, then behind the end ``surplus``, which is taken back."""
    stream = transcriber.open(PLAIN, wants_interims=True)
    interims = []
    for start in range(0, samples.size, step):
        interims += transcriber.advance([Advance(stream, samples[start : start + step])])
    if surplus.size:
        interims += transcriber.advance([Advance(stream, surplus)])
    (last,) = transcriber.advance([Advance(stream, NOTHING, is_last=True, surplus_samples=surplus.size)])
    assert last is not None
    return last, [interim for interim in interims if interim is not None]
