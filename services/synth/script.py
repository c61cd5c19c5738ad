"""What is spoken in what order, by whom: a text as turns of speakers, a turn as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_SENTENCE_CHARACTERS = 400  # a sentence is spoken in one go, so this bounds how long the first audio takes

_LABEL = re.compile(r"^[ \t]*\[?(speaker[ \t]+\d{1,4})\]?[ \t]*[:：][ \t]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|\n[ \t]*\n|[\n\r\v\f\u2028\u2029]+(?=[ \t]*[-*•]))")
_ABBREVIATION = re.compile(r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|No|Fig|e\.g|i\.e|cf|approx|[A-Z])\.$")
_SOFT_BREAKS = (re.compile(r"[;:,،、，；](?=\s|[^\x00-\x7f])"), re.compile(r"\s"))


@dataclass(frozen=True, slots=True)
class Turn:
    """``speaker`` is the label in lower case with single spaces ("speaker 1"); empty where the text names none."""

    speaker: str
    text: str


def turns(text: str) -> list[Turn]:
    """The text's turns in order. A line "Speaker 1: …" starts one, lines without a label continue it; labels are not spoken.

    A text without labels is one turn of the speaker "". Turns in which nothing stands are left out.
    """
    found: list[Turn] = []
    speaker, lines = "", list[str]()
    for line in text.splitlines():
        label = _LABEL.match(line)
        if label is not None:
            found.append(Turn(speaker, "\n".join(lines)))
            speaker, lines = " ".join(label[1].lower().split()), [line[label.end() :]]
        else:
            lines.append(line)
    found.append(Turn(speaker, "\n".join(lines)))
    return [Turn(turn.speaker, turn.text.strip()) for turn in found if turn.text.strip()]


def speakers(script: Sequence[Turn]) -> tuple[str, ...]:
    """Who speaks, in the order in which they first do."""
    return tuple(dict.fromkeys(turn.speaker for turn in script))


def sentences(text: str) -> Iterator[str]:
    """The text in pieces that can be spoken one after another, in order; white space between them is dropped, nothing else.

    Cut behind the marks that end a sentence (not behind common abbreviations and initials) and at empty lines. What is longer than
    ``LONGEST_SENTENCE_CHARACTERS`` is cut at its last comma, else at its last white space, else in the middle of a word.
    """
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if end[0].startswith(".") and _ABBREVIATION.search(text[start : end.start() + 1]):
            continue
        yield from _short_enough(text[start : end.end()])
        start = end.end()
    yield from _short_enough(text[start:])


def _short_enough(sentence: str) -> Iterator[str]:
    rest = sentence.strip()
    while len(rest) > LONGEST_SENTENCE_CHARACTERS:
        end = _last_break(rest[:LONGEST_SENTENCE_CHARACTERS])
        yield rest[:end].strip()
        rest = rest[end:].strip()
    if rest:
        yield rest


def _last_break(text: str) -> int:
    """Where to cut; never before the middle, so that pieces do not become tiny."""
    for pattern in _SOFT_BREAKS:
        ends = [found.end() for found in pattern.finditer(text) if found.end() > len(text) // 2]
        if ends:
            return ends[-1]
    return len(text)
