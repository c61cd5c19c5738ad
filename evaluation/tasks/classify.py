"""Labels: what the classifiers say of a whole recording against what is known of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from evaluation.items import Item
from evaluation.metrics.verification import balanced_accuracy
from evaluation.task import UNTOUCHED, Heard, Score

NOTHING = "nothing said"


class Classification:
    """The label a recording gets is the one its utterances got for the longest time."""

    name = "classify"
    measure = "error rate"
    is_higher_better = False
    services = ("denoise", "classify")
    stages = ("classify",)
    needs = "labels"
    baseline = UNTOUCHED
    floor = "always the most frequent label"

    def suits(self, item: Item) -> bool:
        return bool(item.labels)

    def scores(self, heard: Sequence[Heard]) -> list[Score]:
        return [_score(one, {name: _said(one, name) for name in one.item.labels}) for one in heard]

    def floor_scores(self, heard: Sequence[Heard]) -> list[Score]:
        frequent: dict[str, str] = {}
        for name in {name for one in heard for name in one.item.labels}:
            frequent[name] = Counter(one.item.labels[name] for one in heard if name in one.item.labels).most_common(1)[0][0]
        return [_score(one, {name: frequent[name] for name in one.item.labels}) for one in heard]

    def summary(self, scores: Sequence[Score]) -> dict[str, float]:
        pairs = [line.partition(": ")[2].split(", said ") for score in scores for line in score.detail.splitlines()]
        return {"balanced accuracy": balanced_accuracy([wanted for wanted, _ in pairs], [said for _, said in pairs])} if pairs else {}

    def notes(self) -> list[str]:
        return []


def _said(heard: Heard, name: str) -> str:
    """By the length of the utterances; the newest of each classifier counts."""
    time_s: dict[str, float] = defaultdict(float)
    for results in heard.outcome.classified.values():
        newest = {result.engine.name: result for result in results if result.is_final}
        for result in newest.values():
            for attribute in result.attributes:
                if attribute.name == name:
                    time_s[str(attribute.value)] += result.end_s - result.start_s
    return max(time_s, key=lambda label: time_s[label]) if time_s else NOTHING


def _score(heard: Heard, said: dict[str, str]) -> Score:
    wrong = sum(said[name] != wanted for name, wanted in heard.item.labels.items())
    detail = "\n".join(f"{name}: {wanted}, said {said[name]}" for name, wanted in heard.item.labels.items())
    return Score(heard.item, wrong, len(said), detail=detail)
