"""Which windows are one speaker: agglomerative clustering with average linkage, and names that last.

All arithmetic that decides anything is on whole numbers (embeddings are taken to a grid first, and sums of their products stay below
2 ** 53) or is one division of such numbers: the outcome does not depend on the order of sums, on batches or on the processor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxrelay.audio import Float32Array

GRID = 127  # an element of a unit vector, which is in [-1, 1], becomes a whole number in [-127, 127]

GridArray = NDArray[np.int8]
Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]


def on_grid(embeddings: Float32Array) -> GridArray:
    """Unit vectors as whole numbers, one byte an element."""
    return np.asarray(np.rint(np.clip(embeddings, -1.0, 1.0) * np.float32(GRID)), dtype=np.int8)


@dataclass(frozen=True, slots=True)
class ClusterRules:
    """``threshold`` is the cosine distance from which two voices are two speakers; who speaks less than ``shortest_speaker_samples`` in all
    is taken for the most similar of the others."""

    threshold: float
    shortest_speaker_samples: int


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
    """A group for every row, 0, 1, ...; at most ``most`` groups unless that is 0."""
    if evidence.windows.size == 0:
        return np.zeros(0, dtype=np.int64)
    groups = agglomerate(evidence.sums, evidence.windows, 1.0 - rules.threshold)
    speech = np.bincount(groups, weights=evidence.samples)
    lasting = np.flatnonzero(speech >= rules.shortest_speaker_samples)
    if lasting.size == 0:
        lasting = np.array([speech.argmax()])
    member = (groups[None, :] == lasting[:, None]).astype(np.float64)
    sums, windows = member @ evidence.sums, member @ evidence.windows
    if 0 < most < lasting.size:
        merged = agglomerate(sums, windows, -2.0, most)
        member = (merged[None, :] == np.arange(merged.max() + 1)[:, None]).astype(np.float64)
        sums, windows = member @ sums, member @ windows
        number_of = merged
    else:
        number_of = np.arange(lasting.size)
    found = np.full(speech.size, -1, dtype=np.int64)
    found[lasting] = number_of
    settled = found[groups]
    nearest = similarities(evidence.sums, evidence.windows, sums, windows).argmax(axis=1)
    return np.where(settled >= 0, settled, nearest)


def agglomerate(sums: Float64Array, windows: Float64Array, least_similarity: float, most: int = 0) -> Int64Array:
    """Merges the two most similar groups while they are at least so similar, or there are more than ``most``.

    The similarity of two groups is the mean cosine over all pairs of their windows (UPGMA). Groups are numbered by their first row.
    """
    count = windows.size
    products = sums @ sums.T
    weight = windows.copy()
    similarity = products / (weight[:, None] * weight[None, :] * GRID**2)
    np.fill_diagonal(similarity, -np.inf)
    parent = np.arange(count)
    best = similarity.argmax(axis=1)
    best_similarity = similarity[np.arange(count), best]
    for left in range(count, 1, -1):
        one = int(best_similarity.argmax())
        other = int(best[one])
        if best_similarity[one] < least_similarity and (most == 0 or left <= most):
            break
        one, other = min(one, other), max(one, other)
        parent[parent == other] = one
        products[one] += products[other]
        products[:, one] = products[one]
        weight[one] += weight[other]
        row = products[one] / (weight[one] * weight * GRID**2)
        row[np.isneginf(similarity[one])] = -np.inf
        row[other] = -np.inf
        stale = np.flatnonzero((best == one) | (best == other))  # a merged group is never more similar than the better of the two was
        similarity[one], similarity[:, one] = row, row
        similarity[other], similarity[:, other] = -np.inf, -np.inf
        stale = np.union1d(stale, [one, other])
        best[stale] = similarity[stale].argmax(axis=1)
        best_similarity[stale] = similarity[stale, best[stale]]
    return np.unique(parent, return_inverse=True)[1].astype(np.int64)


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
    for group in np.flatnonzero(label_of == 0)[np.argsort([np.argmax(groups == group) for group in np.flatnonzero(label_of == 0)], kind="stable")]:
        label_of[group] = _free_label(set(label_of.tolist()), set(taken), most)
    return label_of[groups] if count else groups


def _free_label(in_use: set[int], taken: set[int], most: int) -> int:
    for barred in (in_use | taken, in_use):
        label = next(number for number in range(1, len(barred) + 2) if number not in barred)
        if not most or label <= most:
            return label
    return label
