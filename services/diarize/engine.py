"""What turns a stretch of speech into a direction that stands for its speaker: one embedder for all sessions."""

from __future__ import annotations

from typing import Protocol

from voxrelay.audio import Float32Array
from voxrelay.events import Engine

ENGINES: dict[str, str] = {
    "ge2e": "services.diarize.engines.ge2e:Ge2eEmbedder",
    "pyannote": "services.diarize.engines.pyannote:WeSpeakerEmbedder",
    "speechbrain": "services.diarize.engines.speechbrain:EcapaEmbedder",
}
EXTRAS = {"pyannote": "pyannote", "speechbrain": "speechbrain"}  # of the distribution, where it is not called like the capability


class SpeakerEmbedder(Protocol):
    """Weights, shared by all sessions. Thread-safe, without state.

    ``window_samples`` is how much audio at 16 kHz one embedding is made of, ``step_samples`` how far apart the windows of an utterance
    are best taken. ``threshold`` is the cosine distance from which two voices are two speakers with these weights, ``threshold_when_told``
    the same where it is known how many speak.
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def window_samples(self) -> int: ...

    @property
    def step_samples(self) -> int: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def threshold(self) -> float: ...

    @property
    def threshold_when_told(self) -> float: ...

    def embed(self, windows: Float32Array) -> Float32Array:
        """Unit vectors, shape (n, dimensions), for windows of shape (n, window_samples), n of any number of sessions and perhaps 0.

        Windows of one speaker lie close together, by the cosine. A row is the same to the last bit whatever the other rows are.
        """
        ...

    def check(self) -> str | None:
        """For /ready: a sentence where it runs otherwise than was set."""
        ...
