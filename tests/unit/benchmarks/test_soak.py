"""What the soak would call flat, growing and undecided."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.soak.trend import trend, worst

MINUTES = [60.0 * number for number in range(1, 31)]


def memory(growth_an_hour: float, noise_mb: float = 0.2, seed: int = 1) -> list[float]:
    """Half an hour of a process of 150 MB."""
    chance = Random(seed)
    return [150.0 * (1 + growth_an_hour * at / 3600) + chance.gauss(0.0, noise_mb) for at in MINUTES]


@pytest.mark.parametrize("seed", range(5))
def test_noise_without_a_slope_is_flat_and_a_leak_is_found(seed: int) -> None:
    assert trend(MINUTES, memory(0.0, seed=seed), 0.05).verdict == "flat"
    leaking = trend(MINUTES, memory(0.20, seed=seed), 0.05)
    assert leaking.verdict == "grows"
    assert leaking.growth == pytest.approx(0.20 * 150.0 / leaking.level, abs=0.01)
    assert leaking.growth_low < leaking.growth < leaking.growth_high


def test_what_falls_is_flat() -> None:
    assert trend(MINUTES, memory(-0.5), 0.05).verdict == "flat"


def test_a_single_outlier_is_no_growth() -> None:
    values = memory(0.0)
    values[-1] *= 3
    assert trend(MINUTES, values, 0.05).verdict == "flat"


def test_what_noise_hides_and_what_is_too_short_are_undecided() -> None:
    assert trend(MINUTES, memory(0.05, noise_mb=30.0), 0.05).verdict == "undecided"
    assert trend(MINUTES[:4], memory(0.0)[:4], 0.05).verdict == "undecided"
    assert trend([], [], 0.05).verdict == "undecided"


def test_the_worst_of_all_counts_and_nothing_measured_is_nothing_decided() -> None:
    flat, grows, undecided = (trend(MINUTES, values, 0.05) for values in (memory(0.0), memory(0.5), memory(0.05, noise_mb=30.0)))
    assert worst([flat, flat]) == "flat"
    assert worst([flat, undecided]) == "undecided"
    assert worst([undecided, grows, flat]) == "grows"
    assert worst([]) == "undecided"
