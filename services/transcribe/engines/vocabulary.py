"""Custom vocabulary: from a client's terms to words a recogniser can be made to prefer.

A term's words enter the language model under names of their own (``=helstone``), known words too. So one session's language model
can favour a word without the dictionary or anyone else's model changing, and a word the dictionary lacks is no special case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.transcribe.engines.letter_sounds import english

SPOKEN_MARK = "="
MOST_PRONUNCIATIONS = 4
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|\d")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LETTERS_ONLY = re.compile(r"[A-Z]{2,5}")

Lookup = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word of a vocabulary as the dictionary shall have it; each pronunciation is ARPABET phones joined by blanks."""

    name: str
    pronunciations: tuple[str, ...]

    def entries(self) -> Iterator[tuple[str, str]]:
        """Dictionary entries: ``=word``, ``=word(2)`` ..."""
        for number, phones in enumerate(self.pronunciations, start=1):
            yield (self.name if number == 1 else f"{self.name}({number})"), phones


def plain_letters(term: str) -> str:
    """Accents taken off: the dictionary knows ``cafe``. Case is kept."""
    decomposed = unicodedata.normalize("NFKD", term.replace("’", "'"))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


class Pronouncer:
    """Says how words are spoken: as in the dictionary, else letter by letter for abbreviations, else by letter-to-sound rules."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def words(self, vocabulary: tuple[str, ...]) -> tuple[SpokenWord, ...]:
        """The distinct words of all terms, in order. What has no sound (signs, other scripts) is left out."""
        found: dict[str, SpokenWord] = {}
        for term in vocabulary:
            for token in plain_letters(term).replace("-", " ").split():
                for part in _WORD.findall(token.lower()):
                    spelled = part if _LETTERS_ONLY.fullmatch(token) else ""
                    word = self._word(_DIGITS[int(part)] if part.isdigit() else part, spelled)
                    if word is not None:
                        found.setdefault(word.name, word)
        return tuple(found.values())

    def _word(self, text: str, spelled: str) -> SpokenWord | None:
        pronunciations = list(self._known(text))
        if not pronunciations:
            letters = [self._lookup(letter) for letter in spelled]
            if letters and all(letters):
                pronunciations.append(" ".join(phones for phones in letters if phones))
            sounds = " ".join(english().phones(text))
            if sounds:
                pronunciations.append(sounds)
        if not pronunciations:
            return None
        return SpokenWord(SPOKEN_MARK + text, tuple(dict.fromkeys(pronunciations)))

    def _known(self, text: str) -> Iterator[str]:
        for number in range(1, MOST_PRONUNCIATIONS + 1):
            phones = self._lookup(text if number == 1 else f"{text}({number})")
            if not phones:
                return
            yield phones
