"""Whether one system is better than another, or only luckier: paired tests over the recordings that both had."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 9_999
SEED = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second system against the first. ``difference`` is second less first of the rates over all, ``low`` to ``high`` its 95 % interval.

    The interval is a paired bootstrap over recordings (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation", ICASSP 2004), by scipy. ``p_value`` is Wilcoxon's signed-rank test, two-sided, on the recordings' own rates (Wilcoxon,
    1945; for speech recognition: Strik, Cucchiarini, Kessens, 2000); None where fewer than six recordings differ.
    """

    difference: float
    low: float
    high: float
    p_value: float | None
    recordings: int
    better: int
    worse: int

    @property
    def is_significant(self) -> bool:
        """At the usual five per cent, by the interval."""
        return self.low > 0 or self.high < 0


def compare(first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]], *, is_higher_better: bool) -> Comparison | None:
    """Pairs of (errors, what they count against), one a recording, in the same order; None with fewer than two recordings."""
    if len(first) != len(second):
        raise ValueError("both systems need the same recordings")
    errors_a, weights_a = _columns(first)
    errors_b, weights_b = _columns(second)
    if len(first) < 2 or not weights_a.sum() or not weights_b.sum():
        return None
    low, high = _interval(errors_a, weights_a, errors_b, weights_b)
    rates_a, rates_b = errors_a / np.maximum(weights_a, 1e-9), errors_b / np.maximum(weights_b, 1e-9)
    gains = (rates_b - rates_a) * (1 if is_higher_better else -1)
    gains = np.where((weights_a > 0) & (weights_b > 0), gains, 0.0)
    differing = gains[gains != 0]
    p_value = float(stats.wilcoxon(differing).pvalue) if differing.size >= 6 else None
    difference = float(errors_b.sum() / weights_b.sum() - errors_a.sum() / weights_a.sum())
    return Comparison(difference, low, high, p_value, len(first), int((gains > 0).sum()), int((gains < 0).sum()))


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _interval(*columns: NDArray[np.float64]) -> tuple[float, float]:
    def difference(one: Any, one_weight: Any, other: Any, other_weight: Any, axis: int = -1) -> Any:
        least = 1e-9
        rate = one.sum(axis=axis) / np.maximum(one_weight.sum(axis=axis), least)
        return other.sum(axis=axis) / np.maximum(other_weight.sum(axis=axis), least) - rate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # two systems that say the same everywhere: an interval of no width
        found = stats.bootstrap(
            columns, difference, paired=True, vectorized=True, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(SEED), batch=500
        )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
