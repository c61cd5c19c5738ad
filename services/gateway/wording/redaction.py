"""Numbers that must not be written down: card numbers, social security numbers, any series of digits.

It looks at what was recognised, in one utterance: a digit that was misheard, or a number spoken over two utterances, can hide a number from
``pci`` and ``ssn``. ``numbers`` needs three digits in a row, ``aggressive_numbers`` takes every number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.gateway.wording.numerals import spoken_numbers
from services.gateway.wording.words import WrittenWord, merged

MARK = "[REDACTED]"
KINDS = ("pci", "ssn", "numbers", "aggressive_numbers", "true")
BETWEEN = frozenset({"uh", "um", "dash", "hyphen", "space", "double", "triple", "oh", "o", "point", "slash"})  # may stand inside a number
MOST_BETWEEN = 2
CUES = frozenset({"cvv", "cvc", "cv", "security", "expiration", "expiry", "expires", "expire", "verification"})
CUE_REACH = 6  # words from a cue to its number


@dataclass(frozen=True, slots=True)
class _Run:
    """Numbers that follow each other: words ``start`` to ``end``, and how many digits they have."""

    start: int
    end: int
    digits: int
    is_cued: bool


TESTS: dict[str, Callable[[_Run], bool]] = {
    "pci": lambda run: 12 <= run.digits <= 19 or run.is_cued,
    "ssn": lambda run: run.digits == 9,
    "numbers": lambda run: run.digits >= 3,
    "aggressive_numbers": lambda run: run.digits >= 1,
    "true": lambda run: run.digits >= 3,
}


def redact(words: Sequence[WrittenWord], kinds: Sequence[str]) -> list[WrittenWord]:
    """Each series of numbers that one of ``kinds`` (of ``KINDS``) is about becomes one word ``[REDACTED]``, heard and written."""
    written: list[WrittenWord] = []
    at = 0
    for run in _runs(words):
        if any(TESTS[kind](run) for kind in kinds):
            written += words[at : run.start]
            written.append(merged(words[run.start : run.end], MARK))
            at = run.end
    return written + list(words[at:])


def _runs(words: Sequence[WrittenWord]) -> Iterator[_Run]:
    start = end = digits = 0
    for first, last, text in spoken_numbers(words):
        count = sum(letter.isdigit() for letter in text)
        between = [word.heard for word in words[end:first]]
        if digits and len(between) <= MOST_BETWEEN and BETWEEN.issuperset(between):
            end, digits = last, digits + count + sum(1 for word in between if word in ("oh", "o", "double"))
            continue
        if digits:
            yield _run(words, start, end, digits)
        start, end, digits = first, last, count
    if digits:
        yield _run(words, start, end, digits)


def _run(words: Sequence[WrittenWord], start: int, end: int, digits: int) -> _Run:
    return _Run(start, end, digits, any(word.heard in CUES for word in words[max(0, start - CUE_REACH) : start]))
