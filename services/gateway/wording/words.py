"""One written word, and what all the rules need: merging words, reading a text out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EDGES = '.,?!;:…"“”()[]\n '


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """``heard`` is the word without punctuation and capitals, ``written`` the same with them; times in seconds from the session's start.

    What redaction, replacement and masking take out is in neither.
    """

    heard: str
    written: str
    start_s: float
    end_s: float
    confidence: float
    speaker: str


def bare(text: str) -> str:
    """Without punctuation at its ends, in lower case: what rules compare."""
    return text.strip(EDGES).lower()


def merged(words: Sequence[WrittenWord], written: str, heard: str = "") -> WrittenWord:
    """One word in the place of these: from the first one's start to the last one's end, as sure as the least sure of them."""
    return WrittenWord(heard or written, written, words[0].start_s, words[-1].end_s, min(word.confidence for word in words), words[0].speaker)


def text_of(words: Sequence[WrittenWord]) -> str:
    """The written words with a space between them, and none after a new line."""
    return " ".join(word.written for word in words).replace("\n ", "\n")
