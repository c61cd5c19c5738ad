"""From a request's text to sentences with voices: ``Speaker 1: …`` lines are turns of different speakers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_SENTENCE = 300  # characters: about 20 s, so that the first audio comes soon
_SPEAKER = re.compile(r"^[ \t]*speaker[ \t]+(\d{1,3})[ \t]*:[ \t]*", re.IGNORECASE | re.MULTILINE)
_SENTENCE_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+|(?:(?<=[。！？])|(?<=[。！？][”’」』）]))(?![。！？”’」』）])\s*|\n\s*\n")
_ABBREVIATION = re.compile(r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|cf|[B-HJ-Z])\.$")  # "so do I." ends a sentence
_BREAK = re.compile(r"(?<=[,;:—–])\s+")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says in one go; ``speaker`` counts from 0 in the order of first appearance."""

    speaker: int
    text: str


def turns(script: str) -> list[Turn]:
    """Text before the first speaker line, and text without any, is speaker 0's. Empty turns are left out."""
    order: dict[int, int] = {}
    found: list[Turn] = []
    speaker, start = 0, 0
    for line in _SPEAKER.finditer(script):
        if text := script[start : line.start()].strip():
            found.append(Turn(speaker, text))
            order.setdefault(-1, 0) if not order else None
        speaker = order.setdefault(int(line[1]), len(order))
        start = line.end()
    if text := script[start:].strip():
        found.append(Turn(speaker, text))
    return found


def sentences(text: str) -> Iterator[str]:
    """Cut at the ends of sentences, and longer ones at commas, else at blanks, so that none is longer than 300 characters.

    The full stop of a common abbreviation or an initial ends none, unless an empty line follows.
    """
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text, start, end.start()) and end[0].count("\n") < 2:
            continue
        yield from _short(text[start : end.start()].strip())
        start = end.end()
    yield from _short(text[start:].strip())


def _short(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST_SENTENCE:
        breaks = [place.end() for place in _BREAK.finditer(sentence, 0, LONGEST_SENTENCE)]
        cut = breaks[-1] if breaks else sentence.rfind(" ", 1, LONGEST_SENTENCE) + 1 or LONGEST_SENTENCE
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


def names_in(asked: str) -> list[str]:
    """The names of a comma-separated list."""
    return [name.strip() for name in asked.split(",") if name.strip()]


def voice_names(asked: str, base: str, variants: Sequence[str], speakers: int) -> list[str]:
    """A voice for each speaker: those asked for (comma-separated) in turn, else the base voice and its variants."""
    given = names_in(asked)
    if len(given) == 1 and "+" not in given[0]:
        base, given = given[0], []
    names = given or [base, *(f"{base}+{variant}" for variant in variants)]
    return [names[speaker % len(names)] for speaker in range(max(1, speakers))]
