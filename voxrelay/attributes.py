"""Every attribute there is: its unit, its range, and what it is computed from. docs/attributes.md is tested against this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["acoustic", "text"]


@dataclass(frozen=True, slots=True)
class AttributeKind:
    """``range`` holds the lowest and highest value of a number; ``labels`` the values of a label.

    Both are empty for a text. ``unit`` is empty where the number is a ratio or score.
    """

    name: str
    source: Source
    meaning: str
    unit: str = ""
    range: tuple[float, float] | None = None
    labels: tuple[str, ...] = ()
    is_learnt: bool = False  # only a trained model gives it: none of the bundled engines does


ATTRIBUTES: tuple[AttributeKind, ...] = (
    AttributeKind("pitch_hz", "acoustic", "median pitch of the voiced parts", "Hz", (60.0, 500.0)),
    AttributeKind("pitch_mean_hz", "acoustic", "mean pitch of the voiced parts", "Hz", (60.0, 500.0)),
    AttributeKind("pitch_range_semitones", "acoustic", "from the 5th to the 95th percentile of the pitch", "semitones", (0.0, 37.0)),
    AttributeKind("gender", "acoustic", "a crude guess from the pitch alone", labels=("female", "male")),
    AttributeKind("energy_dbfs", "acoustic", "level of the parts with sound (RMS)", "dBFS", (-120.0, 0.0)),
    AttributeKind("snr_db", "acoustic", "level of the speech above the background", "dB", (0.0, 60.0)),
    AttributeKind("speaking_rate", "acoustic", "syllables by duration, pauses included", "syllables/s", (0.0, 12.0)),
    AttributeKind("articulation_rate", "acoustic", "syllables by time spent speaking, pauses left out", "syllables/s", (0.0, 12.0)),
    AttributeKind("jitter", "acoustic", "how much successive periods of the voice differ in length (local)", "%", (0.0, 100.0)),
    AttributeKind("shimmer", "acoustic", "how much successive periods of the voice differ in amplitude (local)", "%", (0.0, 100.0)),
    AttributeKind("hnr_db", "acoustic", "periodic part of the voice above its noise", "dB", (-10.0, 40.0)),
    AttributeKind("emotion", "acoustic", "how the voice sounds, in the words of a trained model", is_learnt=True),
    AttributeKind("age_group", "acoustic", "how old the voice sounds, in the groups of a trained model", is_learnt=True),
    AttributeKind("accent", "acoustic", "where the speaker's pronunciation is at home, in the words of a trained model", is_learnt=True),
    AttributeKind("spoken_language", "acoustic", "language of the sound, a BCP 47 primary tag, by a trained model", is_learnt=True),
    AttributeKind("sentiment", "text", "mood of the words (English only)", labels=("negative", "neutral", "positive")),
    AttributeKind("sentiment_score", "text", "the same on a scale (English only)", "", (-1.0, 1.0)),
    AttributeKind("language", "text", "language of the text, a BCP 47 primary tag"),
    AttributeKind("keywords", "text", "up to five phrases that carry the content, separated by commas (English only)"),
    AttributeKind("words_per_minute", "text", "words by the time between the first word's start and the last one's end", "words/min", (0.0, 1000.0)),
)
BY_NAME: dict[str, AttributeKind] = {kind.name: kind for kind in ATTRIBUTES}


def names(source: Source) -> tuple[str, ...]:
    return tuple(kind.name for kind in ATTRIBUTES if kind.source == source)
