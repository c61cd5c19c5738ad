"""How an English word that no dictionary knows is probably said.

The rules in ``letter_sounds.txt`` are learnt by ``scripts/train_letter_sounds.py`` (which names the method): on words the training
has not seen, somewhat over half come out entirely right, the others mostly wrong in one vowel.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

RULES = Path(__file__).with_name("letter_sounds.txt")
MOST_CONTEXT = 8  # the letter, four to its right and three to its left
_OFFSETS = (1, -1, 2, -2, 3, -3, 4)  # in the order of what they tell
_EDGE = "_"


def context_of(word: str, position: int) -> str:
    """The letter, then its neighbours by falling importance; ``_`` beyond the word."""
    places = (position + offset for offset in _OFFSETS)
    return word[position] + "".join(word[place] if 0 <= place < len(word) else _EDGE for place in places)


class LetterSounds:
    """Letter-to-sound rules: context to phones, the longest known context wins. Immutable."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.rules = rules

    def phones(self, word: str) -> tuple[str, ...]:
        """ARPABET phones without stress for a word of the letters a to z; other characters are silent. May be empty."""
        letters = "".join(character for character in word.lower() if "a" <= character <= "z")
        phones: list[str] = []
        for position in range(len(letters)):
            context = context_of(letters, position)
            piece = next((self.rules[context[:length]] for length in range(MOST_CONTEXT, 0, -1) if context[:length] in self.rules), "")
            phones.extend(piece.split())
        return tuple(phones)


@cache
def english() -> LetterSounds:
    """The rules for English, read once a process."""
    rules = {}
    for line in RULES.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            context, _, phones = line.partition(" ")
            rules[context] = phones
    return LetterSounds(rules)
