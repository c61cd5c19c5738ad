"""Paired tests on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.significance import compare


def test_a_system_that_is_better_everywhere_is_significantly_better() -> None:
    found = compare([(5.0, 10.0)] * 12, [(3.0 + number % 2, 10.0) for number in range(12)], is_higher_better=False)
    assert found is not None
    assert found.difference == pytest.approx(-0.15)
    assert found.low <= -0.15 <= found.high < 0
    assert found.is_significant
    assert (found.better, found.worse) == (12, 0)
    assert found.p_value is not None
    assert found.p_value < 0.01


def test_luck_is_not_significant() -> None:
    generator = np.random.default_rng(3)
    errors = generator.integers(0, 10, (2, 40)).astype(float)
    found = compare([(one, 10.0) for one in errors[0]], [(one, 10.0) for one in errors[1]], is_higher_better=False)
    assert found is not None
    assert found.low < 0 < found.high
    assert not found.is_significant


def test_the_same_answers_have_no_difference_and_no_test() -> None:
    found = compare([(1.0, 4.0), (2.0, 4.0), (0.0, 3.0)], [(1.0, 4.0), (2.0, 4.0), (0.0, 3.0)], is_higher_better=False)
    assert found is not None
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, None)
    assert not found.is_significant


def test_long_recordings_count_more_than_short_ones() -> None:
    found = compare([(10.0, 100.0), (1.0, 1.0)], [(20.0, 100.0), (0.0, 1.0)], is_higher_better=False)
    assert found is not None
    assert found.difference == pytest.approx(20 / 101 - 11 / 101)


def test_higher_may_be_better() -> None:
    found = compare([(1.0, 1.0)] * 8, [(2.0 + number, 1.0) for number in range(8)], is_higher_better=True)
    assert found is not None
    assert (found.better, found.worse) == (8, 0)


def test_what_cannot_be_compared() -> None:
    assert compare([(1.0, 2.0)], [(1.0, 2.0)], is_higher_better=False) is None
    assert compare([(0.0, 0.0)] * 3, [(0.0, 0.0)] * 3, is_higher_better=False) is None
    with pytest.raises(ValueError):
        compare([(1.0, 2.0)], [], is_higher_better=False)
