"""Text that is told once and never taken back, out of hypotheses that are revised. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def covered(told: Sequence[str], final: Sequence[str]) -> int:
    """How many words of ``final`` what was told stands for: the beginning of it with the least edit distance to ``told``, the longest of those."""
    distances = list(range(len(final) + 1))
    for row, word in enumerate(told, start=1):
        above, distances[0] = distances[0], row
        for column, other in enumerate(final, start=1):
            above, distances[column] = (
                distances[column],
                min(above + (word != other), distances[column] + 1, distances[column - 1] + 1),
            )
    return max(range(len(final) + 1), key=lambda column: (-distances[column], column))


class StableText:
    """One utterance. ``hear`` gives words that have stood unchanged in ``agreeing`` hypotheses running; ``end`` the rest, once.

    What was told stays: where the final disagrees with it, only what follows is told. So the told words are the final's unless it took
    back what had stood so long; with ``agreeing`` 0 nothing is told before the final, and they always are.
    """

    def __init__(self, agreeing: int) -> None:
        self._agreeing = agreeing
        self._before: list[str] = []
        self._stood: list[int] = []  # in how many hypotheses running each word of the last one stood
        self.told: list[str] = []

    def hear(self, words: Sequence[str]) -> list[str]:
        """The words that have become stable by this hypothesis."""
        if not self._agreeing:
            return []
        kept = _common(self._before, words)
        self._stood = [count + 1 for count in self._stood[:kept]] + [1] * (len(words) - kept)
        self._before = list(words)
        if _common(self.told, words) < len(self.told):
            return []  # it disagrees with what was told: the final will say how it goes on
        stable = next((index for index, count in enumerate(self._stood) if count < self._agreeing), len(words))
        return self._tell(words[len(self.told) : stable])

    def end(self, words: Sequence[str]) -> list[str]:
        """What of the final is still to be told."""
        return self._tell(words[covered(self.told, words) :])

    def _tell(self, words: Sequence[str]) -> list[str]:
        self.told.extend(words)
        return list(words)
