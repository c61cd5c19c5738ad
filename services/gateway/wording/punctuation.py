"""Punctuation for words that came without: as much as the words of one utterance alone can say, which is little.

A capital at the start and after the end of a sentence, "I", and at the utterance's end a full stop, or a question mark where the first words
can hardly begin anything but a question. No commas, no names. What an engine punctuated itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.gateway.wording.words import WrittenWord

SENTENCE_ENDS = (".", "?", "!", "…")
PUNCTUATION = (*SENTENCE_ENDS, ",", ";", ":", "-", "\n")
I_FORMS = {"i": "I", "i'm": "I'm", "i'll": "I'll", "i've": "I've", "i'd": "I'd"}
# fmt: off
AUXILIARIES = frozenset({
    "is", "are", "was", "were", "am", "do", "does", "did", "can", "could", "will", "would", "shall", "should", "have", "has", "had", "isn't",
    "aren't", "wasn't", "weren't", "don't", "doesn't", "didn't", "can't", "couldn't", "won't", "wouldn't", "shouldn't", "haven't", "hasn't",
    "hadn't",
})
# fmt: on
# fmt: off
SUBJECTS = frozenset({
    "i", "you", "he", "she", "it", "we", "they", "this", "that", "these", "those", "there", "the", "a", "an", "anyone", "anybody", "someone",
    "somebody", "your", "his", "her", "our", "their", "my",
})
# fmt: on
ASKING = frozenset(["what", "who", "whose", "where", "why", "how", "when", "which"])
ASKING_WITH_VERB = frozenset(["what's", "who's", "where's", "how's", "why's", "when's", "what're", "who're", "where're"])
HOW_MUCH = frozenset(["much", "many", "long", "far", "often", "old", "soon", "big"])


def is_question(heard: Sequence[str]) -> bool:
    """Whether these words begin as a question does: "do you", "where is", "how many". "When I was young" and "what a day" do not."""
    first, second = (*heard[:2], "", "")[:2]
    if first in AUXILIARIES:
        return second in SUBJECTS
    if first in ASKING_WITH_VERB:
        return len(heard) > 1
    return first in ASKING and (second in AUXILIARIES or (first == "how" and second in HOW_MUCH and len(heard) > 2))


def punctuate(words: Sequence[WrittenWord]) -> list[WrittenWord]:
    """The same words; only ``written`` changes. Doing it twice changes nothing more."""
    written: list[WrittenWord] = []
    is_start = True
    sentence: list[str] = []
    for word in words:
        text = I_FORMS.get(word.written) or word.written
        if is_start:
            text = text[:1].upper() + text[1:]
            sentence = []
        written.append(replace(word, written=text))
        sentence.append(word.heard)
        is_start = text.rstrip(" \n").endswith(SENTENCE_ENDS) or text.endswith("\n")
    if written and not written[-1].written.endswith(PUNCTUATION):
        written[-1] = replace(written[-1], written=written[-1].written + ("?" if is_question(sentence) else "."))
    return written
