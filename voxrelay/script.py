"""Texts that are spoken: ``Speaker 1: …`` lines are turns of different speakers, turns are cut to sentences, whole or while they arrive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_SENTENCE = 300  # characters: about 20 s, so that the first audio comes soon
_SPEAKER = re.compile(r"^[ \t]*speaker[ \t]+(\d{1,3})[ \t]*:[ \t]*", re.IGNORECASE | re.MULTILINE)
_SENTENCE_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+|(?:(?<=[。！？])|(?<=[。！？][”’」』）]))(?![。！？”’」』）])\s*|\n\s*\n")
_ABBREVIATION = re.compile(r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|cf|[B-HJ-Z])\.$")  # "so do I." ends a sentence
ABBREVIATION_REACH = len("Prof.") + 1  # the longest, and what stands before it
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
    for end in _ends(text):
        yield from _short(text[start : end.start()].strip())
        start = end.end()
    yield from _short(text[start:].strip())


def _ends(text: str) -> Iterator[re.Match[str]]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        before = text[max(start, end.start() - ABBREVIATION_REACH) : end.start()]
        if _ABBREVIATION.search(before) and end[0].count("\n") < 2:
            continue
        yield end
        start = end.end()


def _short(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST_SENTENCE:
        cut = _cut_of(sentence)
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


def _cut_of(sentence: str) -> int:
    """Where a sentence that is too long is cut."""
    breaks = [place.end() for place in _BREAK.finditer(sentence, 0, LONGEST_SENTENCE)]
    return breaks[-1] if breaks else sentence.rfind(" ", 1, LONGEST_SENTENCE) + 1 or LONGEST_SENTENCE


class ScriptReader:
    """The same of a script that arrives in pieces, cut anywhere: each sentence comes as soon as it is known to be whole, as a turn of its own.

    At most one unfinished sentence is kept. Not for several threads.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._is_at_line_start = True  # where the rest begins
        self._order: dict[int, int] = {}
        self._speaker = 0

    def add(self, text: str) -> list[Turn]:
        """The sentences this completes."""
        self._rest += text
        said: list[Turn] = []
        while (line := self._speaker_line()) is not None:
            said += self._turns_of(self._rest[: line.start()])
            self._speaker = self._order.setdefault(int(line[1]), len(self._order))
            self._go_on_at(line.end())
        ended = list(_ends(self._rest))
        if ended:
            said += self._turns_of(self._rest[: ended[-1].end()])
            self._go_on_at(ended[-1].end())
        while len(self._rest) > LONGEST_SENTENCE:
            cut = _cut_of(self._rest)
            said += self._turns_of(self._rest[:cut])
            self._go_on_at(cut)
        return said

    def flush(self) -> list[Turn]:
        """What is unfinished; the next text begins a line."""
        said = self._turns_of(self._rest)
        self.clear()
        return said

    def clear(self) -> None:
        """What is unfinished is forgotten; who speaks stays."""
        self._rest, self._is_at_line_start = "", True

    def _speaker_line(self) -> re.Match[str] | None:
        for line in _SPEAKER.finditer(self._rest):
            if line.start() or self._is_at_line_start:
                return line
        return None

    def _turns_of(self, text: str) -> list[Turn]:
        said = [Turn(self._speaker, sentence) for sentence in sentences(text)]
        if said and not self._order:
            self._order[-1] = 0
        return said

    def _go_on_at(self, place: int) -> None:
        self._is_at_line_start = self._rest[:place].rstrip(" \t").endswith("\n")
        self._rest = self._rest[place:]
