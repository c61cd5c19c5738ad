"""Swear words, masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.gateway.wording.words import WrittenWord, bare

STEMS = ("fuck", "motherfuck", "shit", "bullshit", "bitch", "cunt", "asshole", "arsehole", "wank", "bollock", "bastard", "dickhead", "whore")
ENDINGS = ("", "s", "es", "y", "ty", "er", "ers", "ed", "ing", "in'", "head", "heads")
PROFANE = frozenset(stem + ending for stem in STEMS for ending in ENDINGS)


def mask(words: Sequence[WrittenWord]) -> list[WrittenWord]:
    """Of a swear word only the first letter stays, in both of its forms; punctuation stays too."""
    return [replace(word, heard=_masked(word.heard), written=_masked(word.written)) if bare(word.heard) in PROFANE else word for word in words]


def _masked(text: str) -> str:
    first = next((place for place, letter in enumerate(text) if letter.isalpha()), 0)
    return text[: first + 1] + "".join("*" if letter.isalpha() else letter for letter in text[first + 1 :])
