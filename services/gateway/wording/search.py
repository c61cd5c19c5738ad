"""Where something was said, also where it was heard a little differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from services.gateway.wording.words import WrittenWord, bare

LEAST_LIKENESS = 60.0  # percent of the letters that agree
MOST_HITS = 10


@dataclass(frozen=True, slots=True)
class Hit:
    """``confidence`` is the likeness of the letters, 1 for the same; ``snippet`` is what was heard there."""

    confidence: float
    start_s: float
    end_s: float
    snippet: str


def hits(words: Sequence[WrittenWord], query: str) -> list[Hit]:
    """The best places for ``query``, best first, none over another; runs of as many words as the query has, one more, or one fewer.

    Likeness is the normalised indel similarity of the letters, spaces counted.
    """
    wanted = " ".join(bare(word) for word in query.split())
    count = len(wanted.split())
    spans = list(_spans(len(words), count)) if wanted else []
    snippets = [" ".join(word.heard for word in words[start:end]) for start, end in spans]
    found: list[Hit] = []
    taken: set[int] = set()
    for snippet, likeness, place in process.extract(wanted, snippets, scorer=fuzz.ratio, score_cutoff=LEAST_LIKENESS, limit=None):
        start, end = spans[place]
        if len(found) < MOST_HITS and taken.isdisjoint(range(start, end)):
            taken.update(range(start, end))
            found.append(Hit(round(likeness / 100, 3), words[start].start_s, words[end - 1].end_s, snippet))
    return found


def _spans(words: int, count: int) -> Iterator[tuple[int, int]]:
    for length in range(max(1, count - 1), count + 2):
        for start in range(words - length + 1):
            yield start, start + length
