"""What is known of one session's speakers, and how it changes with every utterance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.diarize.clustering import (
    GRID,
    ClusterRules,
    Evidence,
    Float64Array,
    GridArray,
    Int64Array,
    cluster,
    free_label,
    group_sums,
    lasting_labels,
    similarities,
)
from services.diarize.engine import SpeakerEmbedder
from services.diarize.turns import Span, Turn, slots, smoothed, turns

RulesFor = Callable[[SpeakerEmbedder], ClusterRules]  # each model's own, for directions of two models spread differently

CONFIDENCE_SLOPE = 2.0  # so much confidence for so much more similarity to the speaker than to the next best


@dataclass(frozen=True, slots=True)
class Memory:
    """How much is kept to be thought over again: the latest utterances, as long as they have no more windows than that in all."""

    windows: int = 300
    utterances: int = 50


@dataclass(slots=True)
class Heard:
    """One utterance that ended: its windows and whose they are (1 is S1). Spans are samples from its start."""

    utterance_id: str
    start_sample: int
    end_sample: int
    revision: int
    starts: list[int]
    vectors: GridArray
    speech: list[Span]
    labels: list[int] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)

    def spans(self, window_samples: int) -> list[Span]:
        return slots(self.starts, window_samples, self.end_sample - self.start_sample) if self.starts else []

    def turns(self, window_samples: int) -> list[Turn]:
        return turns(self.labels, self.confidences, self.spans(window_samples), self.speech)


@dataclass(slots=True)
class Older:
    """A speaker's windows that are no longer kept one by one."""

    sums: Int64Array
    windows: int
    samples: int


class Speakers:
    """One session's. Everything is a function of the utterances heard, in order, and of the numbers of speakers asked for."""

    def __init__(self, rules: ClusterRules, memory: Memory, window_samples: int, dimensions: int) -> None:
        self._rules, self._memory = rules, memory
        self._window_samples, self._dimensions = window_samples, dimensions
        self.heard: list[Heard] = []
        self.older: dict[int, Older] = {}
        self.settled: set[int] = set()  # labels of results that no longer change

    def hear(self, utterances: Sequence[Heard], most: int = 0) -> list[Heard]:
        """Takes new utterances in and thinks all that is kept over again: the new ones, then the earlier ones whose speakers changed.

        At most ``most`` speakers unless that is 0. The revisions of the earlier ones that are returned are counted up.
        """
        before = [(one, _speakers(one.turns(self._window_samples))) for one in self.heard]
        for one in utterances:
            one.labels, one.confidences = [0] * len(one.starts), [0.0] * len(one.starts)
            self.heard.append(one)
        evidence = self._evidence()
        groups = cluster(evidence, self._rules, most)
        labels = lasting_labels(groups, evidence, self.settled, most)
        self._take_over(labels, self._confidences(evidence, groups, most))
        revised = [one for one, speakers in before if _speakers(one.turns(self._window_samples)) != speakers]
        for one in revised:
            one.revision += 1
        self._condense()
        return [*utterances, *revised]

    def provisional(self, vectors: GridArray, most: int = 0) -> tuple[list[int], list[float]]:
        """Labels and confidences of windows of an utterance still open, going by what is known; nothing changes by it."""
        evidence = self._evidence()
        known = sorted(set(evidence.labels.tolist()))
        rows = vectors.astype(np.float64)
        if not known:
            return [1] * len(rows), [0.5] * len(rows)
        numbers = np.searchsorted(np.array(known), evidence.labels)
        found = similarities(rows, np.ones(len(rows)), *group_sums(evidence, numbers, len(known)))
        floor = self._rules.least_similarity(most)
        is_full = most != 0 and len(known) >= most
        new = free_label(set(known), self.settled, most)
        labels = [new if not is_full and row.max() < floor else known[int(row.argmax())] for row in found]
        return smoothed(np.array(labels, dtype=np.int64)).tolist(), [_confidence(float(row.max()), floor) for row in found]

    def _evidence(self) -> Evidence:
        """The older windows of each speaker, then all kept windows in order."""
        sums = [older.sums[None, :].astype(np.float64) for older in self.older.values()]
        sums += [one.vectors.astype(np.float64) for one in self.heard]
        older_labels = list(self.older)
        spans = [span for one in self.heard for span in one.spans(self._window_samples)]
        return Evidence(
            sums=np.concatenate(sums) if sums else np.zeros((0, self._dimensions)),
            windows=np.array([older.windows for older in self.older.values()] + [1] * len(spans), dtype=np.float64),
            samples=np.array([older.samples for older in self.older.values()] + [end - start for start, end in spans], dtype=np.int64),
            labels=np.array(older_labels + [label for one in self.heard for label in one.labels], dtype=np.int64),
        )

    def _confidences(self, evidence: Evidence, groups: Int64Array, most: int) -> list[float]:
        """How much more similar each row is to the rest of its group than to the next best group, or than it had to be."""
        if groups.size == 0:
            return []
        count = int(groups.max()) + 1
        sums, windows = group_sums(evidence, groups, count)
        found = similarities(evidence.sums, evidence.windows, sums, windows)
        floor = self._rules.least_similarity(most)
        confidences = []
        for row, group in enumerate(groups.tolist()):
            own = _similarity_to_rest(evidence.sums[row], evidence.windows[row], sums[group], windows[group], floor)
            others = np.delete(found[row], group)
            confidences.append(_confidence(own, max(floor, float(others.max())) if others.size else floor))
        return confidences

    def _take_over(self, labels: Int64Array, confidences: list[float]) -> None:
        """Rows as ``_evidence`` orders them. Older windows of speakers who turned out to be one are put together."""
        merged: dict[int, Older] = {}
        for label, older in zip(labels[: len(self.older)].tolist(), list(self.older.values()), strict=True):
            _add(merged, label, older)
        at = len(self.older)
        self.older = dict(sorted(merged.items()))
        for one in self.heard:
            count = len(one.starts)
            one.labels = smoothed(labels[at : at + count]).tolist()
            one.confidences = confidences[at : at + count]
            at += count

    def _condense(self) -> None:
        """What is too much leaves, oldest first: its results are settled, its windows become one sum a speaker."""
        while len(self.heard) > 1 and (
            len(self.heard) > self._memory.utterances or sum(len(one.starts) for one in self.heard) > self._memory.windows
        ):
            one = self.heard.pop(0)
            for label, vector, (start, end) in zip(one.labels, one.vectors, one.spans(self._window_samples), strict=True):
                self.settled.add(label)
                _add(self.older, label, Older(vector.astype(np.int64), 1, end - start))
            self.older = dict(sorted(self.older.items()))


def _speakers(found: Iterable[Turn]) -> list[tuple[int, int, int]]:
    return [(turn.label, turn.start, turn.end) for turn in found]


def _add(into: dict[int, Older], label: int, more: Older) -> None:
    known = into.get(label)
    into[label] = more if known is None else Older(known.sums + more.sums, known.windows + more.windows, known.samples + more.samples)


def _similarity_to_rest(vector: Float64Array, windows: float, sums: Float64Array, all_windows: float, otherwise: float) -> float:
    rest = all_windows - windows
    if rest <= 0:
        return otherwise
    return float(vector @ (sums - vector)) / (float(windows) * float(rest) * GRID**2)


def _confidence(own: float, rival: float) -> float:
    return round(min(1.0, max(0.0, 0.5 + CONFIDENCE_SLOPE * (own - rival))), 3)
