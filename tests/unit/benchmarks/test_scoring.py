"""The yardsticks themselves: known answers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scoring import Turn, si_sdr_db, speaker_errors, word_errors


def test_word_errors() -> None:
    assert word_errors("The cat sat.", "the cat sat").errors == 0
    assert word_errors("the cat sat on the mat", "the bat sat the mat now").errors == 3
    assert word_errors("a b c", "").rate == 1.0
    assert (word_errors("", "three false words").errors, word_errors("", "x").words) == (3, 0)


def test_speaker_errors_do_not_mind_names_and_take_the_best_assignment() -> None:
    reference = [Turn("anna", 0, 10), Turn("bert", 10, 16)]
    assert speaker_errors(reference, [Turn("S2", 0, 10), Turn("S1", 10, 16)]).rate == 0.0
    swapped = speaker_errors(reference, [Turn("S1", 0, 16)])
    assert (swapped.confused_s, swapped.rate) == (6.0, 6 / 16)


def test_missed_false_and_overlapped_speech() -> None:
    reference = [Turn("anna", 0, 4), Turn("bert", 3, 6)]
    scored = speaker_errors(reference, [Turn("S1", 0, 3), Turn("S2", 4, 8)])
    assert scored.spoken_s == 7.0
    assert scored.missed_s == 2.0  # one second of both
    assert scored.false_alarm_s == 2.0
    assert scored.confused_s == 0.0
    assert speaker_errors(reference, []).rate == 1.0
    assert speaker_errors([], []).rate == 0.0


def test_more_labels_than_speakers() -> None:
    reference = [Turn("anna", 0, 9)]
    hypothesis = [Turn("S1", 0, 2), Turn("S2", 2, 6), Turn("S3", 6, 9)]
    assert speaker_errors(reference, hypothesis).confused_s == 5.0


def test_si_sdr() -> None:
    generator = np.random.default_rng(0)
    clean, noise = generator.standard_normal(50_000).astype(np.float32), generator.standard_normal(50_000).astype(np.float32)
    assert si_sdr_db(clean, clean + 0.1 * noise) == pytest.approx(20.0, abs=0.2)
    assert si_sdr_db(clean, 7.0 * (clean + 0.1 * noise)) == pytest.approx(20.0, abs=0.2)
