"""What turns a sentence into speech: one synthesizer for all requests, without state between sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from voxrelay.events import Engine

ENGINES: dict[str, str] = {
    "espeak": "services.synth.engines.espeak:EspeakSynthesizer",
    "piper": "services.synth.engines.piper:PiperSynthesizer",
}
EXTRAS = {"piper": "piper"}  # of the distribution, where it is not called like the capability


@dataclass(frozen=True, slots=True)
class Voice:
    """``name`` is what a request asks for; ``language`` is BCP 47; ``gender`` is male, female or empty."""

    name: str
    language: str
    gender: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """``speed`` 1.0 is the voice's own."""

    text: str
    voice: str
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of the sentence and where it begins, in samples from the sentence's start."""

    text: str
    start_sample: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """Mono pcm_s16le at the engine's rate, with its words in order."""

    pcm_s16le: bytes
    marks: tuple[Mark, ...]


class Synthesizer(Protocol):
    """Thread-safe. The same sentence gives the same samples, whatever was spoken before."""

    @property
    def engine(self) -> Engine: ...

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def at_once(self) -> int:
        """How many sentences it speaks side by side."""
        ...

    def voices(self) -> Sequence[Voice]:
        """One for each language and variety; ``find`` may know more names."""
        ...

    def find(self, name: str) -> Voice | None:
        """The voice of this name, or None."""
        ...

    def speak(self, sentences: Sequence[Sentence]) -> list[Spoken]:
        """In the order given. Every voice must be one that ``find`` knows. Raises ``Unavailable`` when the engine died
        (try again), ``Poison`` when it cannot speak a sentence at all."""
        ...

    def check(self) -> str | None:
        """For /ready: a sentence where it runs otherwise than was set. Raises ``Unavailable`` while it cannot speak."""
        ...

    def close(self) -> None: ...
