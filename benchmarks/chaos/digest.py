"""transcribe with an engine that costs nothing: the words of an utterance are a digest of its samples.

    python -m benchmarks.chaos.digest      over Kafka, settings as any service

Everything around the engine is the real service. A sample that is lost, doubled, changed or out of its place changes the words, and a machine
of two cores carries as many callers as denoise allows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import count
from threading import Lock
from typing import Any

import numpy as np

from services.transcribe import engine as table
from services.transcribe.engine import Advance, Hypothesis, StreamOptions
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.events import Engine, Word
from voxrelay.process import main

NAME = "digest"


class DigestTranscriber:
    """As ``Transcriber`` promises: the final depends on the samples up to the utterance's end alone."""

    engine = Engine(NAME, "1", "")
    languages = ("en",)

    def __init__(self, **_options: Any) -> None:
        self._lock = Lock()
        self._numbers = count(1)
        self._heard: dict[int, list[np.ndarray[Any, Any]]] = {}

    def open(self, _options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:  # noqa: ARG002  # as in the protocol
        with self._lock:
            stream = next(self._numbers)
            self._heard[stream] = []
            return stream

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        return [self._one(item) for item in work]

    def _one(self, item: Advance) -> Hypothesis | None:
        with self._lock:
            pieces = self._heard[item.stream]
            pieces.append(item.samples)
            if not item.is_last:
                return None
            del self._heard[item.stream]
        samples = np.concatenate(pieces)
        samples = samples[: samples.size - item.surplus_samples]
        text = hashlib.sha256(samples.tobytes()).hexdigest()[:16]
        return Hypothesis(text, (Word(text, 0.0, samples.size / SAMPLE_RATE_HZ, 1.0),), 1.0, samples.size, "en")

    def discard(self, stream: int) -> None:
        with self._lock:
            self._heard.pop(stream, None)

    def check(self) -> None:
        """It always can."""

    def close(self) -> None:
        """Nothing is open outside."""


if __name__ == "__main__":
    from services.transcribe.compose import compose

    table.ENGINES[NAME] = "benchmarks.chaos.digest:DigestTranscriber"
    os.environ["VOXRELAY_TRANSCRIBE_ENGINE"] = NAME
    main("transcribe", compose)
