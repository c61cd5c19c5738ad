"""Words: word error rate where somebody speaks, false text where nobody does."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.items import Item
from evaluation.metrics.words import alignment, word_errors
from evaluation.task import UNTOUCHED, Heard, Score
from voxrelay.audio import seconds


class Transcription:
    name = "transcribe"
    measure = "WER"
    is_higher_better = False
    services = ("denoise", "transcribe")
    stages = ("transcribe",)
    needs = "text"
    baseline = UNTOUCHED
    floor = ""

    def suits(self, item: Item) -> bool:
        return item.text is not None

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        return [self._score(one) for one in heard]

    def _score(self, heard: Heard) -> Score:
        wanted, said = heard.item.text or "", heard.outcome.text
        if not wanted.strip():
            figures = {"silent_s": seconds(heard.samples.size), "false_words": float(len(said.split())), "false_utterances": float(bool(said))}
            return Score(heard.item, 0.0, 0.0, figures, f"said where nobody speaks: {said}" if said else "")
        errors = word_errors(wanted, said)
        return Score(heard.item, errors.errors, errors.words, detail=alignment(wanted, said))

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:  # noqa: ARG002  # nothing said is every word an error: no figure needed
        return []

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:
        silent_s = sum(score.figures.get("silent_s", 0.0) for score in scores)
        if not silent_s:
            return {}
        false_words = sum(score.figures.get("false_words", 0.0) for score in scores)
        return {"silent minutes": silent_s / 60, "false words per silent hour": false_words / silent_s * 3600}

    def notes(self) -> list[str]:
        return []
