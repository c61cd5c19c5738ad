"""What suppresses noise and what tells speech: each one object for all sessions, with a small state of its own a session.

States are dictionaries of arrays, so that a stage can save them as they are. Engines change them in place and never keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxrelay.audio import Float32Array
from voxrelay.events import Engine

ENGINES: dict[str, str] = {
    "omlsa": "services.denoise.engines.omlsa:OmlsaSuppressor",
    "deepfilternet": "services.denoise.engines.deepfilternet:DeepFilterNetSuppressor",
    "dtln": "services.denoise.engines.dtln:DtlnSuppressor",
    "gtcrn": "services.denoise.engines.gtcrn:GtcrnSuppressor",
    "passthrough": "services.denoise.engines.passthrough:PassthroughSuppressor",
}
DETECTORS: dict[str, str] = {"silero": "services.denoise.engines.silero:SileroDetector"}

HOP_SAMPLES = 128  # 8 ms: strengths are given for each hop
FRAME_SAMPLES = 512  # 32 ms: what a detector judges

State = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Passage:
    """The next samples of one session: float32, whole hops, and how strongly to suppress in each (0 to 1), shape (hops,)."""

    state: State
    samples: Float32Array
    strengths: Float32Array


class Suppressor(Protocol):
    """Noise suppression with a constant delay. Thread-safe: all that changes is in the states, and those are the caller's.

    For n samples given so far, ``max(0, n - delay_samples)`` have come back: sample k out is sample k in, cleaned. Strength 0 gives the
    samples back to within a ten-thousandth of a 16-bit step. What a session gets is the same bits whichever sessions go with it
    in one call, and however its hops are spread over calls.
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def delay_samples(self) -> int: ...

    def open(self) -> State:
        """The state of a session that has heard nothing."""
        ...

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        """Cleaned samples of each passage, in the order given; at most one passage a session."""
        ...

    def check(self) -> str | None:
        """For /ready: a sentence where it runs otherwise than was set. Raises ``Unavailable`` while it cannot be used."""
        ...


class SpeechDetector(Protocol):
    """Speech probability of frames of 512 samples at 16 kHz. Thread-safe and exact in the same sense as ``Suppressor``."""

    @property
    def engine(self) -> Engine: ...

    def open(self) -> State: ...

    def process(self, work: Sequence[tuple[State, Float32Array]]) -> list[Float32Array]:
        """For each session's next frames, shape (frames, 512): their probabilities, float32, shape (frames,)."""
        ...

    def check(self) -> str | None:
        """As a suppressor's."""
        ...


NO_SAMPLES: Float32Array = np.zeros(0, dtype=np.float32)
