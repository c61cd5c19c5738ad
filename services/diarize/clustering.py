"""Which windows are one speaker: agglomerative clustering with average linkage, and names that last.

All arithmetic that decides anything is on whole numbers (embeddings are taken to a grid first, and sums of their products stay below
2 ** 53) or is one division of such numbers: the outcome does not depend on the order of sums, on batches or on the processor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

GRID = 127  # an element of a unit vector, which is in [-1, 1], becomes a whole number in [-127, 127]

GridArray = NDArray[np.int8]
Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]


def on_grid(embeddings: Float32Array) -> GridArray:
    """Unit vectors as whole numbers, one byte an element."""
    return np.asarray(np.rint(np.clip(embeddings, -1.0, 1.0) * np.float32(GRID)), dtype=np.int8)


@dataclass(frozen=True, slots=True)
class ClusterRules:
    """When two voices are two speakers.

    threshold                 cosine distance, 0 to 1: groups of windows closer than that on average are one speaker
    threshold_when_told       the same where the number of speakers is known; the lower, as it cannot lead to too many
    shortest_speaker_samples  who speaks less in all is taken for the most similar of the others
    """

    threshold: float
    threshold_when_told: float
    shortest_speaker_samples: int = 2 * SAMPLE_RATE_HZ

    def least_similarity(self, most: int) -> float:
        return 1.0 - (self.threshold_when_told if most else self.threshold)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is clustered, one row each: a window, or all windows of a speaker that are no longer kept one by one.

    sums     sum of the windows' vectors on the grid, shape (n, dimensions), whole numbers
    windows  how many windows that is
    samples  how much speech they stand for
    labels   the speaker they were given before: 1 for S1 and so on, 0 for none yet
    """

    sums: Float64Array
    windows: Float64Array
    samples: Int64Array
    labels: Int64Array


def cluster(evidence: Evidence, rules: ClusterRules, most: int = 0) -> Int64Array:
    """A group for every row, 0, 1, ...; at most ``most`` groups unless that is 0.

    Groups that speak too little, and those beyond the ``most`` that speak longest, are dissolved: their rows go to the nearest of the rest.
    """
    if evidence.windows.size == 0:
        return np.zeros(0, dtype=np.int64)
    groups = agglomerate(evidence.sums, evidence.windows, rules.least_similarity(most))
    speech = np.bincount(groups, weights=evidence.samples)
    by_length = np.argsort(-speech, kind="stable")
    lasting = [group for group in by_length.tolist() if speech[group] >= rules.shortest_speaker_samples] or by_length[:1].tolist()
    if most:
        lasting = lasting[:most]
    number_of = np.full(speech.size, -1, dtype=np.int64)
    number_of[lasting] = np.arange(len(lasting))
    numbers = number_of[groups]
    sums, windows = group_sums(evidence, numbers, len(lasting))
    nearest = similarities(evidence.sums, evidence.windows, sums, windows).argmax(axis=1)
    return np.where(numbers >= 0, numbers, nearest)


def agglomerate(sums: Float64Array, windows: Float64Array, least_similarity: float) -> Int64Array:
    """Merges the two most similar groups as long as they are at least so similar; groups are numbered by their first row.

    The similarity of two groups is the mean cosine over all pairs of their windows (UPGMA: Sokal and Michener, 1958), kept up to date
    in whole numbers. Each step looks at the best partner of every group alone, so that n rows take n steps of n operations.
    """
    count = windows.size
    products, weight, group_of = sums @ sums.T, windows.copy(), np.arange(count)
    similarity = products / (weight[:, None] * weight[None, :] * GRID**2)
    np.fill_diagonal(similarity, -np.inf)
    best = similarity.argmax(axis=1)
    best_similarity = similarity[np.arange(count), best]
    for _ in range(count - 1):
        one = int(best_similarity.argmax())
        if best_similarity[one] < least_similarity:
            break
        one, gone = sorted((one, int(best[one])))
        group_of[group_of == gone] = one
        products[one] += products[gone]
        products[:, one] = products[one]
        weight[one] += weight[gone]
        merged = products[one] / (weight[one] * weight * GRID**2)
        merged[np.isneginf(similarity[one])] = -np.inf  # itself, and what was merged before
        similarity[one], similarity[:, one] = merged, merged
        similarity[gone], similarity[:, gone] = -np.inf, -np.inf
        stale = np.flatnonzero((best == one) | (best == gone))  # a merged group is never more similar than the better of its two was
        stale = np.union1d(stale, [one, gone])
        best[stale] = similarity[stale].argmax(axis=1)
        best_similarity[stale] = similarity[stale, best[stale]]
    return np.unique(group_of, return_inverse=True)[1].astype(np.int64)


def group_sums(evidence: Evidence, numbers: Int64Array, count: int) -> tuple[Float64Array, Float64Array]:
    """The sums and numbers of windows of the groups 0 to ``count`` - 1; rows with other numbers belong to none."""
    member = (numbers[None, :] == np.arange(count)[:, None]).astype(np.float64)
    return member @ evidence.sums, member @ evidence.windows


def similarities(sums: Float64Array, windows: Float64Array, group_sums: Float64Array, group_windows: Float64Array) -> Float64Array:
    """Mean cosine between the windows of rows and those of groups, shape (rows, groups)."""
    return np.asarray((sums @ group_sums.T) / (windows[:, None] * group_windows[None, :] * GRID**2), dtype=np.float64)


def lasting_labels(groups: Int64Array, evidence: Evidence, taken: Iterable[int] = (), most: int = 0) -> Int64Array:
    """A label for every row: a group keeps the label that most of its speech had; the groups with most of it choose first.

    A group without one gets the lowest free number, groups in the order of their first row. ``taken`` are labels not to be given anew
    (there are results under them that no longer change), unless ``most`` leaves no other.
    """
    count = int(groups.max()) + 1 if groups.size else 0
    known = int(evidence.labels.max()) + 1 if groups.size else 1
    shared = np.zeros((count, known), dtype=np.int64)
    np.add.at(shared, (groups, evidence.labels), evidence.samples)
    shared[:, 0] = 0
    if most:
        shared[:, most + 1 :] = 0
    label_of = np.zeros(count, dtype=np.int64)
    while shared.size and shared.max() > 0:
        group, label = np.unravel_index(shared.argmax(), shared.shape)
        label_of[group] = label
        shared[group, :] = 0
        shared[:, label] = 0
    for group in dict.fromkeys(groups.tolist()):  # in the order of their first rows
        if label_of[group] == 0:
            label_of[group] = free_label(set(label_of.tolist()), set(taken), most)
    return label_of[groups] if count else groups


def free_label(in_use: set[int], taken: set[int], most: int = 0) -> int:
    """The lowest number neither in use nor taken; where ``most`` leaves none, the lowest that is not in use."""
    barred = in_use | taken
    label = next(number for number in range(1, len(barred) + 2) if number not in barred)
    return label if not most or label <= most else next(number for number in range(1, len(in_use) + 2) if number not in in_use)
