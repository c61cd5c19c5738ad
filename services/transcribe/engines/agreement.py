"""Interims that never take a word back, out of hypotheses that may: what two in a row agree on is said.

Method: local agreement of two, D. Liu et al., "Low-latency sequence-to-sequence speech recognition and translation by partial hypothesis
selection", Interspeech 2020; for Whisper, D. Macháček et al., "Turning Whisper into real-time transcription system", IJCNLP-AACL 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from voxrelay.events import Word


@dataclass(slots=True)
class LocalAgreement:
    """Of one utterance. ``said`` only ever grows at its end."""

    said: list[Word] = field(default_factory=list)
    _latest: tuple[Word, ...] = ()

    def hear(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Takes the newest hypothesis of the whole utterance in; everything that may be said by now.

        What was said stays as it was said: of a hypothesis that has other words there, only what follows counts.
        """
        start = len(self.said)
        for before, now in zip(self._latest[start:], words[start:], strict=False):
            if _bare(before.text) != _bare(now.text):
                break
            earliest_s = self.said[-1].end_s if self.said else 0.0
            start_s = max(now.start_s, earliest_s)
            self.said.append(Word(now.text, start_s, max(now.end_s, start_s), now.confidence))
        self._latest = tuple(words)
        return tuple(self.said)


def _bare(text: str) -> str:
    """Without case and punctuation, which change as more is heard."""
    return "".join(character for character in text.casefold() if character.isalnum()) or text
