"""What turns a sentence into speech: one synthesizer for all requests, without state between sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from voxrelay.events import Engine

ENGINES: dict[str, str] = {"espeak": "services.synth.engines.espeak:EspeakSynthesizer"}

Gender = Literal["male", "female", ""]


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """``id`` is what a request asks for, in lower case; ``name`` is for people; ``language`` is BCP 47 in lower case; ``gender`` empty: not said."""

    id: str
    name: str
    language: str
    gender: Gender = ""


@dataclass(frozen=True, slots=True)
class WordMark:
    """A word as it is written, and the seconds from the start of what is spoken to where it begins."""

    text: str
    start_s: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of speech of any length, mono at the engine's rate, gapless since the piece before, and the words that begin in it."""

    pcm_s16le: bytes
    words: tuple[WordMark, ...] = ()


class Synthesizer(Protocol):
    """Voices, shared by all requests. Thread-safe.

    The promise everything rests on: what ``speak`` gives, put together, is a function of its arguments alone: not of what was spoken
    before or is spoken beside it, nor of the process that speaks.
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def sample_rate_hz(self) -> int:
        """Of all voices."""
        ...

    def voices(self) -> tuple[VoiceInfo, ...]:
        """All voices, in an order that never changes; the first of a language is its usual one."""
        ...

    def speak(self, text: str, voice: str, speed: float) -> Iterator[Piece]:
        """One sentence; ``voice`` is the id of one of ``voices``, ``speed`` 1.0 is the voice's own, and an engine goes as far as it can.

        Words come in the order of the text with times that never fall. Raises ``KeyError`` for an unknown voice, ``Unavailable`` when
        the engine died: trying again may help, and gives the same from the start.
        """
        ...

    def check(self) -> None:
        """Raises ``Unavailable`` with a plain sentence while it cannot speak."""
        ...

    def close(self) -> None:
        """Ends it; calls in flight end with ``Unavailable``."""
        ...
