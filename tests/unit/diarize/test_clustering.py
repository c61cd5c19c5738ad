"""Clustering on made-up voices: the right groups, exactly average linkage, and labels that last."""

from __future__ import annotations

import numpy as np
import pytest

from services.diarize.clustering import (
    GRID,
    ClusterRules,
    Evidence,
    Float64Array,
    Int64Array,
    agglomerate,
    cluster,
    free_label,
    lasting_labels,
    on_grid,
)
from services.diarize.speakers import Heard, Memory, Speakers

DIMENSIONS = 64
WINDOW = 25_600
STEP = 9_600


def windows_of(speakers: list[int], seed: int = 0, spread: float = 0.6) -> Float64Array:
    """One window each: a voice is a random direction, a window that direction and some noise; on the grid."""
    random = np.random.default_rng(seed)
    voices = random.standard_normal((max(speakers) + 1, DIMENSIONS)) / DIMENSIONS**0.5
    found = voices[speakers] + spread * random.standard_normal((len(speakers), DIMENSIONS)) / DIMENSIONS**0.5
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    return on_grid(unit.astype(np.float32)).astype(np.float64)


def evidence_of(sums: Float64Array, labels: list[int] | None = None, samples: int = STEP) -> Evidence:
    count = len(sums)
    given = np.zeros(count, dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
    return Evidence(sums, np.ones(count), np.full(count, samples, dtype=np.int64), given)


def _partition(groups: Int64Array) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


def naive_average_linkage(sums: Float64Array, least_similarity: float) -> set[frozenset[int]]:
    """By the book: the mean over all pairs, computed anew in every step."""
    cosine = sums @ sums.T / GRID**2
    groups = [[row] for row in range(len(sums))]
    while len(groups) > 1:
        pairs = [(np.mean([cosine[i, j] for i in a for j in b]), x, y) for x, a in enumerate(groups) for y, b in enumerate(groups) if x < y]
        best, one, other = max(pairs, key=lambda pair: pair[0])
        if best < least_similarity:
            break
        groups[one] += groups.pop(other)
    return {frozenset(group) for group in groups}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("least_similarity", [-1.0, 0.2, 0.5, 0.8])
def test_agglomeration_is_average_linkage(seed: int, least_similarity: float) -> None:
    speakers = np.random.default_rng(seed).integers(0, 4, 24).tolist()
    sums = windows_of(speakers, seed, spread=1.0)
    assert _partition(agglomerate(sums, np.ones(len(sums)), least_similarity)) == naive_average_linkage(sums, least_similarity)


def test_a_row_of_many_windows_counts_as_these_windows() -> None:
    sums = windows_of([0] * 6 + [1] * 6)
    folded = np.concatenate((sums[:5].sum(axis=0, keepdims=True), sums[5:]))
    groups = agglomerate(folded, np.array([5.0] + [1.0] * 7), 0.4)
    assert _partition(groups) == {frozenset({0, 1}), frozenset(range(2, 8))}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_as_many_groups_as_voices(count: int) -> None:
    speakers = np.random.default_rng(count).integers(0, count, 80).tolist()
    groups = cluster(evidence_of(windows_of(speakers)), ClusterRules(0.6, 0.6, 2 * STEP))
    assert _partition(groups) == {frozenset(i for i, one in enumerate(speakers) if one == speaker) for speaker in set(speakers)}


def test_the_order_of_rows_changes_nothing() -> None:
    random = np.random.default_rng(4)
    sums = windows_of(random.integers(0, 4, 60).tolist(), spread=0.9)
    order = random.permutation(60)
    groups = cluster(evidence_of(sums), ClusterRules(0.6, 0.6))
    turned = cluster(evidence_of(sums[order]), ClusterRules(0.6, 0.6))
    assert _partition(groups) == {frozenset(order[list(group)].tolist()) for group in _partition(turned)}


def test_who_speaks_too_little_is_taken_for_another_until_he_speaks_more() -> None:
    rules = ClusterRules(0.6, 0.6, 3 * STEP)
    assert len(_partition(cluster(evidence_of(windows_of([0] * 9 + [1] * 2)), rules))) == 1
    assert len(_partition(cluster(evidence_of(windows_of([0] * 9 + [1] * 3)), rules))) == 2
    assert len(_partition(cluster(evidence_of(windows_of([0, 1])), rules))) == 1


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_never_more_groups_than_asked_for_and_the_longest_stay(most: int) -> None:
    speakers = [0] * 20 + [1] * 15 + [2] * 10 + [3] * 8
    groups = cluster(evidence_of(windows_of(speakers)), ClusterRules(0.6, 0.6, 2 * STEP), most)
    assert len(_partition(groups)) == min(most, 4)
    for speaker in range(min(most, 4)):
        assert len(set(groups[[i for i, one in enumerate(speakers) if one == speaker]].tolist())) == 1


def test_labels_are_given_by_first_appearance_and_last() -> None:
    sums = windows_of([2, 0, 1, 1])
    groups = np.array([1, 0, 2, 2])
    assert lasting_labels(groups, evidence_of(sums)).tolist() == [1, 2, 3, 3]
    assert lasting_labels(groups, evidence_of(sums, [0, 1, 2, 2])).tolist() == [3, 1, 2, 2]
    assert lasting_labels(np.array([0, 0, 1, 1]), evidence_of(sums, [1, 2, 2, 2])).tolist() == [1, 1, 2, 2]
    assert lasting_labels(np.array([0, 0, 0, 1]), evidence_of(sums, [1, 2, 2, 2])).tolist() == [2, 2, 2, 1]


def test_a_label_of_results_that_stay_is_not_given_to_somebody_else() -> None:
    assert free_label({1}, {2}) == 3
    assert free_label({1, 2}, set()) == 3
    assert free_label({1}, {2}, most=2) == 2
    groups, evidence = np.array([0, 1]), evidence_of(windows_of([0, 1]), [1, 0])
    assert lasting_labels(groups, evidence, taken={1, 2}).tolist() == [1, 3]
    assert lasting_labels(groups, evidence, taken={1, 2}, most=2).tolist() == [1, 2]


def test_labels_beyond_the_number_of_speakers_are_given_up() -> None:
    groups, evidence = np.array([0, 1]), evidence_of(windows_of([0, 1]), [3, 1])
    assert lasting_labels(groups, evidence, most=2).tolist() == [2, 1]


def _heard(number: int, speakers: list[int], all_windows: Float64Array) -> Heard:
    starts = [STEP * index for index in range(len(speakers))]
    length = starts[-1] + WINDOW
    at = number * 100
    return Heard(f"u{number}", at * 16_000, at * 16_000 + length, 1, starts, all_windows.astype(np.int8), [(0, length)])


@pytest.mark.parametrize("memory", [Memory(), Memory(windows=30, utterances=50), Memory(windows=300, utterances=2)])
def test_speakers_keep_their_labels_however_long_it_goes_on_and_memory_stays_bounded(memory: Memory) -> None:
    random = np.random.default_rng(11)
    truth = [[int(speaker)] * int(length) for speaker, length in zip(random.integers(0, 4, 60), random.integers(4, 9, 60), strict=True)]
    vectors = windows_of([speaker for one in truth for speaker in one], spread=0.5)
    speakers = Speakers(ClusterRules(0.6, 0.6, 2 * STEP), memory, WINDOW, DIMENSIONS)
    label_of: dict[int, int] = {}
    at = 0
    for number, one in enumerate(truth):
        heard = _heard(number, one, vectors[at : at + len(one)])
        at += len(one)
        assert speakers.hear([heard])[0] is heard
        assert set(heard.labels) == {label_of.setdefault(one[0], len(label_of) + 1)}
        assert len(speakers.heard) <= memory.utterances
        assert sum(len(kept.starts) for kept in speakers.heard) <= memory.windows
    assert len(label_of) == 4
    assert sum(len(kept.starts) for kept in speakers.heard) + sum(older.windows for older in speakers.older.values()) == at


def test_two_who_turn_out_to_be_one_share_the_label_of_who_spoke_longer() -> None:
    """What lies between two voices draws them together: half of it joins one, and both halves are closer to the other than each was."""
    one_voice, other_voice = np.eye(DIMENSIONS)[0], np.eye(DIMENSIONS)[1] * 0.9 + np.eye(DIMENSIONS)[0] * 0.436
    between = (one_voice + other_voice) / np.linalg.norm(one_voice + other_voice)
    counts = ((one_voice, 8), (other_voice, 6), (between, 12))
    rows = [on_grid(np.tile(voice, (count, 1)).astype(np.float32)).astype(np.float64) for voice, count in counts]
    speakers = Speakers(ClusterRules(0.45, 0.45, 2 * STEP), Memory(), WINDOW, DIMENSIONS)
    one, other, both = (_heard(number, [0] * len(vectors), vectors) for number, vectors in enumerate(rows))
    speakers.hear([one])
    speakers.hear([other])
    assert (set(one.labels), set(other.labels)) == ({1}, {2})
    changed = speakers.hear([both])
    assert {label for heard in (one, other, both) for label in heard.labels} == {1}
    assert changed == [both, other]
    assert (one.revision, other.revision, both.revision) == (1, 2, 1)
