"""Who speaks when: diarization and Jaccard error rates."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.items import Item, Turn
from evaluation.metrics.speakers import SpeakerErrors, speaker_errors
from evaluation.task import UNTOUCHED, Heard, Score
from voxrelay.audio import seconds


class Diarization:
    name = "diarize"
    measure = "DER"
    is_higher_better = False
    services = ("denoise", "diarize")
    stages = ("diarize",)
    needs = "rttm"
    baseline = UNTOUCHED
    floor = "one speaker"

    def suits(self, item: Item) -> bool:
        return item.turns is not None

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        return [_score(one, found_turns(one)) for one in heard]

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:
        """All of it is said by one."""
        return [_score(one, [Turn("S1", turn.start_s, turn.end_s) for turn in found_turns(one)]) for one in heard]

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:
        spoken_s = sum(score.weight for score in scores)
        if not spoken_s:
            return {}
        kinds = {"missed": "missed_s", "false alarm": "false_alarm_s", "confused": "confused_s"}
        shares = {kind: sum(score.figures[name] for score in scores) / spoken_s for kind, name in kinds.items()}
        return {**shares, "JER": sum(score.figures["jaccard_rate"] * score.weight for score in scores) / spoken_s}

    def notes(self) -> list[str]:
        return []


def found_turns(heard: Heard) -> list[Turn]:
    return [Turn(one.speaker, one.start_s, one.end_s) for result in heard.outcome.diarized.values() for one in result.segments]


def _score(heard: Heard, found: Sequence[Turn]) -> Score:
    errors: SpeakerErrors = speaker_errors(heard.item.turns or (), found, seconds(heard.samples.size))
    figures = {
        "missed_s": errors.missed_s,
        "false_alarm_s": errors.false_alarm_s,
        "confused_s": errors.confused_s,
        "jaccard_rate": errors.jaccard,
        "speakers": float(len({turn.speaker for turn in heard.item.turns or ()})),
        "speakers found": float(len({turn.speaker for turn in found})),
    }
    return Score(heard.item, errors.errors_s, errors.spoken_s, figures)
