"""The phrases that carry the content: S. Rose, D. Engel, N. Cramer and W. Cowley, "Automatic keyword extraction from individual
documents" (RAKE), in Text Mining: Applications and Theory, Wiley (2010).

Speech has no punctuation to end a phrase, so a long gap between two words ends one too, and none is longer than three words.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from services.classify.engines.stop_words import ENGLISH
from voxrelay.events import Word

LONGEST_PHRASE = 3
MOST_PHRASES = 5
SHORTEST_WORD = 3  # letters
GAP_S = 0.5
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def tokens(text: str) -> list[str]:
    """Words in lower case, in order, without punctuation and numbers."""
    return [token.replace("’", "'") for token in _WORD.findall(text.lower())]


def keywords(text: str, words: Sequence[Word] = ()) -> list[str]:
    """Up to five phrases, the heaviest first; of equal ones the earlier. ``words`` with their times show where phrases end."""
    phrases = list(dict.fromkeys(_phrases(text, words)))
    frequency: dict[str, int] = defaultdict(int)
    degree: dict[str, int] = defaultdict(int)
    for phrase in _phrases(text, words):
        for token in phrase:
            frequency[token] += 1
            degree[token] += len(phrase)
    weight = {phrase: sum(degree[token] / frequency[token] for token in phrase) for phrase in phrases}
    return [" ".join(phrase) for phrase in sorted(phrases, key=lambda phrase: -weight[phrase])[:MOST_PHRASES]]


def _phrases(text: str, words: Sequence[Word]) -> Iterator[tuple[str, ...]]:
    """Runs of content words."""
    for stretch in _stretches(text, words):
        run: list[str] = []
        for token in stretch:
            if token in ENGLISH or len(token) < SHORTEST_WORD:
                yield from _cut(run)
                run = []
            else:
                run.append(token)
        yield from _cut(run)


def _cut(run: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(run), LONGEST_PHRASE):
        yield tuple(run[start : start + LONGEST_PHRASE])


def _stretches(text: str, words: Sequence[Word]) -> Iterator[list[str]]:
    """The tokens between two ends of phrases: punctuation in the text, or gaps between its words where their times are known."""
    if not words:
        yield from (tokens(part) for part in re.split(r"[.,;:!?()\[\]\"\n]+", text))
        return
    stretch: list[str] = []
    end_s = words[0].end_s
    for word in words:
        if word.start_s - end_s >= GAP_S:
            yield stretch
            stretch = []
        stretch = stretch + tokens(word.text)
        end_s = word.end_s
        if word.text[-1:] in ".,;:!?":
            yield stretch
            stretch = []
    yield stretch
