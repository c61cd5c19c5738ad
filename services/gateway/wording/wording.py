"""What a client wants done to the words, and the words with it done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.wording.dictation import dictate
from services.gateway.wording.numerals import Numerals, with_digits
from services.gateway.wording.profanity import mask
from services.gateway.wording.punctuation import punctuate
from services.gateway.wording.redaction import redact
from services.gateway.wording.replacement import replace_heard
from services.gateway.wording.words import WrittenWord, bare, text_of
from voxrelay.join import JoinedWord

__all__ = ["FILLERS", "Wording", "WrittenWord", "text_of", "write"]

FILLERS = frozenset({"uh", "um", "mhmm", "mm-mm", "uh-uh", "uh-huh", "nuh-uh"})
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Wording:
    """Every wish of the protocols that is about writing and not about hearing. ``search`` changes no word: ``search.hits`` answers it."""

    punctuate: bool = False
    smart_format: bool = False  # punctuation and numerals with it
    numerals: bool = False
    measurements: bool = False
    dictation: bool = False
    profanity_filter: bool = False
    filler_words: bool = True  # whether "uh" and "um" stay
    redact: tuple[str, ...] = ()  # of ``redaction.KINDS``
    replace: tuple[tuple[str, str], ...] = ()  # what is heard, what is written; empty takes it out
    search: tuple[str, ...] = ()


def write(words: Sequence[JoinedWord], wording: Wording, language: str = ENGLISH) -> tuple[WrittenWord, ...]:
    """One utterance's words as asked for; several may become one (a number), some may go, none is added.

    Only replacement is done in languages other than English (empty counts as English); the rest is left as it was heard.
    """
    written = [WrittenWord(bare(word.text), word.text, word.start_s, word.end_s, word.confidence, word.speaker) for word in words]
    is_english = (language or ENGLISH).lower().split("-")[0] == ENGLISH
    if wording.replace:
        written = replace_heard(written, wording.replace)
    if not is_english:
        return tuple(written)
    if not wording.filler_words:
        written = [word for word in written if word.heard not in FILLERS]
    if wording.redact:
        written = redact(written, wording.redact)
    if wording.dictation:
        written = dictate(written)
    if wording.numerals or wording.smart_format or wording.measurements:
        written = with_digits(written, Numerals(wording.numerals or wording.smart_format, wording.smart_format, wording.measurements))
    if wording.profanity_filter:
        written = mask(written)
    if wording.punctuate or wording.smart_format:
        written = punctuate(written)
    return tuple(written)
