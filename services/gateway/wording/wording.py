"""What a client wants done to the words, and the words with it done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voxrelay.join import JoinedWord


@dataclass(frozen=True, slots=True)
class Wording:
    """Every wish of the protocols that is about writing and not about hearing."""

    punctuate: bool = False
    smart_format: bool = False
    numerals: bool = False
    dictation: bool = False
    profanity_filter: bool = False
    redact: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()  # what is heard, what is written; empty takes it out
    search: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """``heard`` is the recognised word, ``written`` the same with punctuation and capitals; times in seconds from the session's start."""

    heard: str
    written: str
    start_s: float
    end_s: float
    confidence: float
    speaker: str


def write(words: Sequence[JoinedWord], wording: Wording, language: str = "en") -> tuple[WrittenWord, ...]:
    """One utterance's words as asked for; several may become one (a number), none is added."""
    return tuple(WrittenWord(word.text, word.text, word.start_s, word.end_s, word.confidence, word.speaker) for word in words)
