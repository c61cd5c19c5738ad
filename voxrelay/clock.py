"""The time of day for processes that live long, without its jumps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FOLLOWING = 0.05  # of the time that passes: an hour astray is made good in twenty


class SteadyClock:
    """Seconds since the epoch that never go back and pass as a stopwatch's do, give or take FOLLOWING. Any thread may ask.

    When somebody sets the machine's clock, a session must not look idle for an hour, nor a pause of a second last one: limits and
    waits go by this clock. It goes after the wall clock slowly, so that stamps are right again in time.
    """

    def __init__(self, wall: Callable[[], float] = time.time, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._stopwatch = wall, stopwatch
        self._lock = threading.Lock()
        self._asked_at = stopwatch()
        self._ahead_s = wall() - self._asked_at  # of the stopwatch

    def __call__(self) -> float:
        with self._lock:
            now = self._stopwatch()
            most_s = FOLLOWING * (now - self._asked_at)
            self._ahead_s += max(-most_s, min(most_s, self._wall() - now - self._ahead_s))
            self._asked_at = now
            return now + self._ahead_s


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
