"""Whether a measured value stays where it is: its robust slope, held against what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scipy.stats import theilslopes

HOUR_S = 3600.0
LEAST_POINTS = 5
SURE = 0.95
WORDS = ("grows", "undecided", "flat")  # the worst first


@dataclass(frozen=True, slots=True)
class Trend:
    """``level`` is the median; growth in shares of it an hour, with the limits of its 95 % confidence interval."""

    level: float
    growth: float
    growth_low: float
    growth_high: float
    allowed: float

    @property
    def verdict(self) -> str:
        """flat: surely no more than allowed. grows: surely more. Else the run was too short, or too noisy, to say."""
        if self.growth_high <= self.allowed:
            return "flat"
        return "grows" if self.growth_low > self.allowed else "undecided"


def trend(times_s: Sequence[float], values: Sequence[float], allowed: float) -> Trend:
    """By the median of the slopes between all pairs of points (Theil, Sen), so that single outliers do not count.

    Points that follow each other closely are alike, and the interval then is narrower than it should be: give one a minute.
    ``allowed`` is a share of the level an hour. Falling is allowed. Too few points are undecided.
    """
    level = median(values) if values else 0.0
    if len(values) < LEAST_POINTS or not level:
        return Trend(level, 0.0, float("-inf"), float("inf"), allowed)
    slope, _, low, high = theilslopes(values, times_s, alpha=SURE)
    return Trend(level, *(float(each) * HOUR_S / level for each in (slope, low, high)), allowed)


def worst(trends: Sequence[Trend]) -> str:
    """The verdict on all of them; nothing measured is nothing decided."""
    return min((each.verdict for each in trends), key=WORDS.index, default="undecided")
