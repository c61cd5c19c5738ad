"""Whether the platform keeps pace with the live sessions it has: if not, no new one is taken, and those admitted keep theirs.

Measured by what comes back, which no consumer's lag in records tells: how old the audio behind a result is when the result arrives, and how long
sessions have waited for a result that is due. Times in seconds; pure, used on one event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from statistics import median

from voxrelay.clock import steady_time
from voxrelay.errors import Refused
from voxrelay.telemetry import LAG_SECONDS

WINDOW_S = 3.0  # results of the last so many seconds count
LEAST_RESULTS = 3  # one slow result is no sign
RETRY_AFTER_S = 5
WAITING_SHARE = 10  # one session in so many may wait, for whatever reason of its own, and nobody is refused for it


class Admission:
    def __init__(self, most_lag_s: float, clock: Callable[[], float] = steady_time) -> None:
        """``clock`` is for who scrapes, on the same event loop: seconds since the epoch."""
        self._most_lag_s = most_lag_s
        LAG_SECONDS.set_function(lambda: self.lag_s(clock()))
        self._delays: dict[str, deque[tuple[float, float]]] = {}  # by producer: when it came, how late it was
        self._wait_s = 0.0

    def came(self, producer: str, delay_s: float, now: float) -> None:
        """A result of this producer arrived so long after the audio behind it."""
        recent = self._delays.setdefault(producer, deque())
        recent.append((now, delay_s))
        while recent[0][0] < now - WINDOW_S:
            recent.popleft()

    def waits(self, waits_s: Iterable[float]) -> None:
        """How long each live session has waited for something that is due. With fewer than ten, the longest counts."""
        longest_first = sorted(waits_s, reverse=True)
        self._wait_s = longest_first[len(longest_first) // WAITING_SHARE] if longest_first else 0.0

    def lag_s(self, now: float) -> float:
        """How late the latest of the stages is."""
        lags = [self._wait_s]
        for recent in self._delays.values():
            delays = [delay_s for at, delay_s in recent if at >= now - WINDOW_S]
            if len(delays) >= LEAST_RESULTS:
                lags.append(median(delays))
        return max(lags)

    def check(self, now: float) -> None:
        """Raises ``Refused`` OVERLOADED."""
        lag_s = self.lag_s(now)
        if lag_s > self._most_lag_s:
            raise Refused("OVERLOADED", f"Results are {lag_s:.0f} s late at the moment; try again in {RETRY_AFTER_S} s.", RETRY_AFTER_S)
