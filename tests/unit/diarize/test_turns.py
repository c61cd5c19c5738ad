"""Where windows lie and what of the speech each stands for."""

from __future__ import annotations

import numpy as np
import pytest

from services.diarize.turns import Turn, all_starts, regular_starts, slots, smoothed, speech_spans, turns, window_at

WINDOW, STEP = 1600, 600


@pytest.mark.parametrize("samples", [1, 800, 1600, 1700, 1899, 1900, 2200, 5000])
def test_windows_lie_in_the_utterance_and_their_slots_cover_it_once(samples: int) -> None:
    starts = all_starts(samples, WINDOW, STEP)
    assert starts == sorted(set(starts))
    assert samples < WINDOW or all(0 <= start <= samples - WINDOW for start in starts)
    covered = [sample for start, end in slots(starts, WINDOW, samples) for sample in range(start, end)]
    assert covered == list(range(samples))
    assert samples < WINDOW or samples - WINDOW - starts[-1] < STEP // 2


def test_windows_taken_before_the_end_is_known_are_among_those_taken_after() -> None:
    for given in range(0, 6000, 100):
        assert set(regular_starts(given, WINDOW, STEP)) <= set(all_starts(6000, WINDOW, STEP))
    assert all_starts(0, WINDOW, STEP) == []


def test_a_short_utterance_fills_its_window_by_being_said_again() -> None:
    assert window_at(np.array([1, 2, 3], dtype=np.float32), 0, 8).tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert window_at(np.arange(9, dtype=np.float32), 3, 4).tolist() == [3, 4, 5, 6]


def test_quiet_ends_and_long_pauses_are_no_speech_and_short_pauses_are() -> None:
    loud, quiet = np.full(16_000, 0.1, dtype=np.float32), np.full(16_000, 0.0005, dtype=np.float32)
    spans = speech_spans(np.concatenate((quiet[:8000], loud, quiet[:3200], loud, quiet, loud)))
    assert spans == [(7_200, 44_000), (58_400, 75_200)]
    assert speech_spans(loud) == [(0, 16_000)]
    assert speech_spans(np.zeros(1_000, dtype=np.float32)) == [(0, 1_000)]
    assert speech_spans(loud[:100]) == [(0, 100)]
    assert speech_spans(loud[:0]) == []


def test_a_single_window_between_two_of_one_speaker_goes_to_that_speaker() -> None:
    assert smoothed(np.array([1, 2, 1, 1, 2, 2, 3])).tolist() == [1, 1, 1, 1, 2, 2, 3]
    assert smoothed(np.array([1, 2])).tolist() == [1, 2]


def test_neighbours_of_one_speaker_are_one_turn_and_speech_bounds_all() -> None:
    found = turns([1, 1, 2], [0.5, 1.0, 0.25], [(0, 100), (100, 200), (200, 300)], [(50, 120), (180, 290)])
    assert found == [Turn(1, 50, 120, round((50 * 0.5 + 20) / 70, 3)), Turn(1, 180, 200, 1.0), Turn(2, 200, 290, 0.25)]
