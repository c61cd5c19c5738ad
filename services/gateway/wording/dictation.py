"""Spoken punctuation becomes punctuation: "comma", "full stop", "new line"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.gateway.wording.words import WrittenWord, merged

MARKS = {
    ("comma",): ",",
    ("period",): ".",
    ("full", "stop"): ".",
    ("question", "mark"): "?",
    ("exclamation", "mark"): "!",
    ("exclamation", "point"): "!",
    ("colon",): ":",
    ("semicolon",): ";",
    ("semi", "colon"): ";",
    ("new", "line"): "\n",
    ("newline",): "\n",
    ("new", "paragraph"): "\n\n",
}
LONGEST = max(len(command) for command in MARKS)


def dictate(words: Sequence[WrittenWord]) -> list[WrittenWord]:
    """A command's mark goes to the end of the word before it; at the utterance's start the mark is a word of its own."""
    written: list[WrittenWord] = []
    at = 0
    while at < len(words):
        for length in range(min(LONGEST, len(words) - at), 0, -1):
            command = words[at : at + length]
            mark = MARKS.get(tuple(word.heard for word in command))
            if mark is not None:
                if written:
                    written[-1] = replace(written[-1], written=written[-1].written + mark)
                else:
                    written.append(merged(command, mark))
                break
        else:
            length = 1
            written.append(words[at])
        at += length
    return written
