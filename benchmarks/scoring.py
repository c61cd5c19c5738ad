"""How results are scored against references: word, diarization and signal error, each as its field defines it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jiwer import process_words

from voxrelay.audio import Float32Array

_WORDS = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True, slots=True)
class Turn:
    speaker: str
    start_s: float
    end_s: float


def normal(text: str) -> str:
    """Lower case, without punctuation: what word error rate is counted on."""
    return " ".join(_WORDS.findall(text.lower().replace("’", "'")))


@dataclass(frozen=True, slots=True)
class WordErrors:
    errors: int
    words: int

    @property
    def rate(self) -> float:
        return self.errors / max(1, self.words)


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Substitutions, deletions and insertions; a rate over many is the sum of the errors by the sum of the words."""
    reference, hypothesis = normal(reference), normal(hypothesis)
    if not reference:
        return WordErrors(len(hypothesis.split()), 0)
    found = process_words(reference, hypothesis)
    return WordErrors(found.substitutions + found.deletions + found.insertions, len(reference.split()))


def read_rttm(path: Path) -> list[Turn]:
    """SPEAKER lines of a NIST RTTM file."""
    turns = []
    for line in path.read_text().splitlines():
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            start_s = float(fields[3])
            turns.append(Turn(fields[7], start_s, start_s + float(fields[4])))
    return turns


@dataclass(frozen=True, slots=True)
class SpeakerErrors:
    """Seconds. NIST's diarization error rate: (missed + false alarm + confusion) by the time spoken, here without collar, overlap counted."""

    missed_s: float
    false_alarm_s: float
    confused_s: float
    spoken_s: float

    @property
    def rate(self) -> float:
        return (self.missed_s + self.false_alarm_s + self.confused_s) / max(1e-9, self.spoken_s)

    def __add__(self, other: SpeakerErrors) -> SpeakerErrors:
        return SpeakerErrors(
            self.missed_s + other.missed_s,
            self.false_alarm_s + other.false_alarm_s,
            self.confused_s + other.confused_s,
            self.spoken_s + other.spoken_s,
        )


def speaker_errors(reference: Sequence[Turn], hypothesis: Sequence[Turn]) -> SpeakerErrors:
    """With the assignment of labels to speakers that is best for the hypothesis."""
    edges = sorted({edge for turn in (*reference, *hypothesis) for edge in (turn.start_s, turn.end_s)})
    together: dict[tuple[str, str], float] = defaultdict(float)
    missed_s = false_alarm_s = both_s = spoken_s = 0.0
    for start_s, end_s in zip(edges, edges[1:], strict=False):  # noqa: RUF007  # an empty list has no pairs
        length_s = end_s - start_s
        speaking = {turn.speaker for turn in reference if turn.start_s <= start_s and end_s <= turn.end_s}
        heard = {turn.speaker for turn in hypothesis if turn.start_s <= start_s and end_s <= turn.end_s}
        spoken_s += len(speaking) * length_s
        missed_s += max(0, len(speaking) - len(heard)) * length_s
        false_alarm_s += max(0, len(heard) - len(speaking)) * length_s
        both_s += min(len(speaking), len(heard)) * length_s
        for one in speaking:
            for other in heard:
                together[one, other] += length_s
    return SpeakerErrors(missed_s, false_alarm_s, both_s - _best_assignment(together), spoken_s)


def _best_assignment(together: dict[tuple[str, str], float]) -> float:
    """The most seconds that a one-to-one assignment of reference to hypothesis speakers explains."""
    speakers, labels = sorted({one for one, _ in together}), sorted({other for _, other in together})
    if len(speakers) > len(labels):
        together = {(other, one): length_s for (one, other), length_s in together.items()}
        speakers, labels = labels, speakers

    @cache
    def best(index: int, taken: int) -> float:
        if index == len(speakers):
            return 0.0
        found = best(index + 1, taken)
        for place, label in enumerate(labels):
            if not taken >> place & 1 and (speakers[index], label) in together:
                found = max(found, together[speakers[index], label] + best(index + 1, taken | 1 << place))
        return found

    return best(0, 0)


def si_sdr_db(reference: Float32Array, estimate: Float32Array) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019)."""
    size = min(reference.size, estimate.size)
    clean, heard = reference[:size].astype(np.float64), estimate[:size].astype(np.float64)
    clean, heard = clean - clean.mean(), heard - heard.mean()
    target = clean * (heard @ clean) / (clean @ clean + 1e-12)
    return float(10.0 * np.log10((target @ target + 1e-12) / ((heard - target) @ (heard - target) + 1e-12)))
