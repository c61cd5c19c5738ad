"""Diarization and detection errors, by pyannote.metrics: no collar, overlapped speech counted (NIST's definition at its strictest)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.detection import DetectionErrorRate
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

from evaluation.items import Turn


@dataclass(frozen=True, slots=True)
class SpeakerErrors:
    """Seconds; ``jaccard`` is the Jaccard error rate (Ryant et al., DIHARD II, 2019): the mean over reference speakers, whoever speaks more."""

    missed_s: float
    false_alarm_s: float
    confused_s: float
    spoken_s: float
    jaccard: float = 0.0

    @property
    def errors_s(self) -> float:
        return self.missed_s + self.false_alarm_s + self.confused_s

    @property
    def rate(self) -> float:
        return self.errors_s / max(1e-9, self.spoken_s)


def speaker_errors(reference: Sequence[Turn], hypothesis: Sequence[Turn], length_s: float) -> SpeakerErrors:
    """With the assignment of labels to speakers that is best for the hypothesis; ``length_s`` is the recording's."""
    one, other, whole = _annotation(reference), _annotation(hypothesis), _whole(length_s, reference, hypothesis)
    found: Any = DiarizationErrorRate(collar=0.0, skip_overlap=False)(one, other, uem=whole, detailed=True)
    jaccard = float(JaccardErrorRate(collar=0.0, skip_overlap=False)(one, other, uem=whole)) if reference else 0.0
    return SpeakerErrors(found["missed detection"], found["false alarm"], found["confusion"], found["total"], jaccard)


def speech_errors(reference: Sequence[Turn], hypothesis: Sequence[tuple[float, float]], length_s: float) -> SpeakerErrors:
    """Speech against silence, whoever speaks; nothing is confused."""
    spoken = [Turn("speech", start_s, end_s) for start_s, end_s in hypothesis]
    one, other = _annotation(reference), _annotation(spoken)
    found: Any = DetectionErrorRate(collar=0.0, skip_overlap=False)(one, other, uem=_whole(length_s, reference, spoken), detailed=True)
    return SpeakerErrors(found["miss"], found["false alarm"], 0.0, found["total"])


def _annotation(turns: Sequence[Turn]) -> Annotation:
    made = Annotation()
    for number, turn in enumerate(turns):
        if turn.end_s > turn.start_s:
            made[Segment(turn.start_s, turn.end_s), number] = turn.speaker
    return made


def _whole(length_s: float, *turns: Sequence[Turn]) -> Timeline:
    return Timeline([Segment(0.0, max([length_s, *(turn.end_s for of in turns for turn in of)]))])
