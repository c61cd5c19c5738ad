"""The time of day for processes that live long, without its jumps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FOLLOWING = 0.05  # of the time that passes: an hour astray is made good in twenty
LOOK_EVERY_S = 1.0


class SteadyClock:
    """Seconds since the epoch that never go back and pass as a stopwatch's do, give or take FOLLOWING. Any thread may ask.

    When somebody sets the machine's clock, a session must not look idle for an hour, nor a pause of a second last one: limits and
    waits go by this clock. It looks at the wall clock when it is asked, once a second, and goes after it slowly, so that stamps are
    right again in time.
    """

    def __init__(self, wall: Callable[[], float] = time.time, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._stopwatch = wall, stopwatch
        self._lock = threading.Lock()
        self._line = (stopwatch(), wall(), 1.0)  # from when on, which time it was, seconds a second; replaced whole, so that readers need no lock

    def __call__(self) -> float:
        looked_at, time_s, pace = self._line
        passed_s = self._stopwatch() - looked_at
        return time_s + passed_s * pace if passed_s < LOOK_EVERY_S else self._look()

    def _look(self) -> float:
        with self._lock:
            looked_at, time_s, pace = self._line
            now = self._stopwatch()
            passed_s = now - looked_at
            time_s += passed_s + (pace - 1.0) * min(passed_s, LOOK_EVERY_S)
            self._line = (now, time_s, 1.0 + max(-FOLLOWING, min(FOLLOWING, (self._wall() - time_s) / LOOK_EVERY_S)))
            return time_s


steady_time = SteadyClock()


class ClockWatch:
    """Whether somebody set the machine's clock back. One thread asks."""

    def __init__(self, wall: Callable[[], float] = time.time, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._stopwatch = wall, stopwatch
        self._ahead_s = wall() - stopwatch()

    def set_back_s(self) -> float:
        """By how much, since it was asked before. What the clock is slowed down by, and setting it ahead, is nothing."""
        before, self._ahead_s = self._ahead_s, self._wall() - self._stopwatch()
        return max(0.0, before - self._ahead_s)
