"""Speech against silence: what the boundaries of utterances miss and take in beyond, and how well the probabilities tell the two apart."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.items import Item, Turn
from evaluation.metrics.speakers import speech_errors
from evaluation.metrics.verification import area_under_curve
from evaluation.task import Heard, Score
from voxrelay.audio import seconds


class SpeechDetection:
    name = "vad"
    measure = "detection error rate"
    is_higher_better = False
    services = ("denoise",)
    stages = ("denoise",)
    needs = "rttm"
    baseline = None  # the detector hears the audio as it comes in, before any suppression
    floor = "always speech"

    def suits(self, item: Item) -> bool:
        return bool(item.turns)

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        return [_score(one, _utterances(one), has_probabilities=True) for one in heard]

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:
        return [_score(one, [(0.0, seconds(one.samples.size))], has_probabilities=False) for one in heard]

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:
        spoken_s = sum(score.weight for score in scores)
        kinds = {"missed": "missed_s", "false alarm": "false_alarm_s"}
        return {kind: sum(score.figures[name] for score in scores) / spoken_s for kind, name in kinds.items()}

    def notes(self) -> list[str]:
        return ["An utterance takes in 300 ms before the speech, 200 ms after it and pauses under 500 ms: most of the false alarm is that."]


def _score(heard: Heard, spoken: Sequence[tuple[float, float]], *, has_probabilities: bool) -> Score:
    turns = heard.item.turns or ()
    errors = speech_errors(turns, spoken, seconds(heard.samples.size))
    figures = {"missed_s": errors.missed_s, "false_alarm_s": errors.false_alarm_s}
    if has_probabilities:
        area = area_under_curve([_is_spoken(turns, seconds(one.start_sample)) for one in heard.outcome.denoised], _probabilities(heard))
        figures |= {"AUC": area} if area is not None else {}
    return Score(heard.item, errors.errors_s, errors.spoken_s, figures)


def _utterances(heard: Heard) -> list[tuple[float, float]]:
    return [(seconds(one.start_sample), seconds(one.end_sample)) for one in heard.outcome.utterances]


def _is_spoken(turns: Sequence[Turn], start_s: float) -> bool:
    """Of a chunk of 100 ms: by its middle."""
    return any(turn.start_s <= start_s + 0.05 < turn.end_s for turn in turns)


def _probabilities(heard: Heard) -> list[float]:
    return [one.speech_probability for one in heard.outcome.denoised]
