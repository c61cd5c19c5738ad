"""transcribe as it is, with an engine whose words are digests of the audio it heard: models of it differ in nothing but their names.

python -m tests.integration.exchangeable      over Kafka, settings as any service
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from services.transcribe.compose import compose
from services.transcribe.engine import ENGINES, Advance, Hypothesis, StreamOptions
from voxrelay.audio import Float32Array, pcm_s16le_from_float32
from voxrelay.events import Engine, Word
from voxrelay.process import main


class DigestTranscriber:
    languages = ("en",)

    def __init__(self, is_broken: bool = False, before: str = "", **_settings: Any) -> None:
        """``before`` is a word it says before everything, which nobody said."""
        if is_broken:
            raise RuntimeError("weights of another net")
        self.engine = Engine("digest", "1", "none")
        self._before = f"{before} " if before else ""
        self._streams: dict[int, list[Float32Array]] = {}
        self._numbers = count(1)
        self._is_closed = False

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:
        number = next(self._numbers)
        self._streams[number] = []
        return number

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        assert not self._is_closed, "a model in use was closed"
        return [self._answer(step) for step in work]

    def _answer(self, step: Advance) -> Hypothesis | None:
        self._streams[step.stream].append(step.samples)
        if not step.is_last:
            return None
        samples = np.concatenate(self._streams.pop(step.stream))
        samples = samples[: samples.size - step.surplus_samples]
        word = hashlib.sha256(pcm_s16le_from_float32(samples)).hexdigest()[:16]
        return Hypothesis(self._before + word, (Word(word, 0.0, samples.size / 16_000, 1.0),), 1.0, samples.size, "en")

    def discard(self, stream: int) -> None:
        self._streams.pop(stream, None)

    def check(self) -> None:
        pass

    def close(self) -> None:
        self._is_closed = True


ENGINES["digest"] = "tests.integration.exchangeable:DigestTranscriber"

if __name__ == "__main__":
    main("transcribe", compose)
