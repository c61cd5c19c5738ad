"""A transcriber without speech recognition: it says how many samples it heard, in hundreds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np

from services.transcribe.engine import Advance, Hypothesis, StreamOptions
from voxrelay.audio import Float32Array
from voxrelay.events import Engine, Word


class ScriptedTranscriber:
    """Keeps the contract: a final depends on options and samples alone. ``calls`` are the sizes of the batches it got."""

    engine = Engine("scripted", "1", "none")
    languages = ("en",)

    def __init__(self) -> None:
        self.streams: dict[int, tuple[StreamOptions, list[Float32Array]]] = {}
        self.calls: list[int] = []
        self._numbers = count(1)

    def open(self, options: StreamOptions, *, wants_interims: bool, is_urgent: bool = True) -> int:  # interims come anyway
        number = next(self._numbers)
        self.streams[number] = (options, [])
        return number

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        self.calls.append(len(work))
        assert len({step.stream for step in work}) == len(work)
        return [self._answer(step) for step in work]

    def _answer(self, step: Advance) -> Hypothesis:
        options, parts = self.streams[step.stream]
        parts.append(step.samples)
        samples = np.concatenate(parts)
        samples = samples[: samples.size - step.surplus_samples]
        if step.is_last:
            del self.streams[step.stream]
        text = " ".join((f"{samples.size // 100}", f"{float(samples.sum()):.3f}", *options.vocabulary))
        return Hypothesis(text, (Word(text, 0.0, samples.size / 16_000, 0.5),), 0.5, samples.size, "en")

    def discard(self, stream: int) -> None:
        self.streams.pop(stream, None)

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass
