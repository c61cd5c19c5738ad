"""Whether one more live session is taken: not while the platform is late with those it has, and no more at a time than it has room for.

Lateness is measured by what comes back, which no consumer's lag in records tells: how old the audio behind a result is when the result arrives, and
how long sessions have waited for a result that is due. But a crowd shows as lateness only after seconds, and then for everybody. So the stages
say how busy they are: as work grows with the sessions, that tells how many more the busiest of them has room for (the utilization law; Lazowska
et al., Quantitative System Performance, 1984, chapter 3). Times in seconds; pure, used on one event loop.
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
PROOF_S = 10.0  # until a session shows in how busy the stages are: of an utterance without interims only its end is work
EASY_SHARE = 0.1  # of the most lag: a full stage that was never later than this, in PROOF_S, may still have room in its batches
GROWTH_SHARE = 8  # then one more for so many sessions is tried at a time
WAITING_SHARE = 10  # one session in so many may wait, for whatever reason of its own, and nobody is refused for it


class Admission:
    def __init__(self, most_lag_s: float, most_busy: float = 0.0, *, clock: Callable[[], float] = steady_time) -> None:
        """``most_busy``: a stage with more of its time at work is full; 0: none is. ``clock`` is for who scrapes, on the same event loop."""
        self._most_lag_s, self._most_busy = most_lag_s, most_busy
        LAG_SECONDS.set_function(lambda: self.lag_s(clock()))
        self._delays: dict[str, deque[tuple[float, float]]] = {}  # by producer: when it came, how late it was
        self._shares: dict[str, _Told] = {}  # by producer: of its time, at work
        self._sessions, self._busy, self._proven, self._lags = (_Told(PROOF_S) for _ in range(4))
        self._cost = 0.0  # of one session, in shares of the busiest stage's time: the newest that is known, also while nobody is there
        self._wait_s = 0.0
        self._entered: deque[float] = deque()  # when the newest sessions were taken

    def came(self, producer: str, delay_s: float, now: float, busy: float = 0.0) -> None:
        """A result of this producer, which had lately been at work for such a share of its time, arrived so long after the audio behind it."""
        recent = self._delays.setdefault(producer, deque())
        recent.append((now, delay_s))
        while recent[0][0] < now - WINDOW_S:
            recent.popleft()
        self._shares.setdefault(producer, _Told(WINDOW_S)).add(now, busy)

    def waits(self, waits_s: Iterable[float], now: float) -> None:
        """How long each live session has waited for something that is due; told every second. With fewer than ten, the longest counts."""
        longest_first = sorted(waits_s, reverse=True)
        self._wait_s = longest_first[len(longest_first) // WAITING_SHARE] if longest_first else 0.0
        self._lags.add(now, self.lag_s(now))
        self._sessions.add(now, len(longest_first))
        if proven := self._sessions.least(now, now - WINDOW_S):  # what is told of the stages is that old
            self._proven.add(now, proven)
            self._busy.add(now, max((told.mean(now) for told in self._shares.values()), default=0.0))
            self._cost = self._busy.mean(now) / self._proven.mean(now)

    def lag_s(self, now: float) -> float:
        """How late the latest of the stages is."""
        lags = [self._wait_s]
        for recent in self._delays.values():
            delays = [delay_s for at, delay_s in recent if at >= now - WINDOW_S]
            if len(delays) >= LEAST_RESULTS:
                lags.append(median(delays))
        return max(lags)

    def enter(self, now: float, sessions: int) -> None:
        """One more beside so many live sessions. Raises ``Refused`` OVERLOADED."""
        lag_s = self.lag_s(now)
        if lag_s > self._most_lag_s:
            raise Refused("OVERLOADED", f"Results are {lag_s:.0f} s late at the moment; try again in {RETRY_AFTER_S} s.", RETRY_AFTER_S)
        while self._entered and self._entered[0] < now - PROOF_S:
            self._entered.popleft()
        if self._cost * (sessions + 1) > self._most_busy > 0.0:
            is_late = self._busy.mean(now) > self._most_busy and max(lag_s, self._lags.most(now)) > EASY_SHARE * self._most_lag_s
            if is_late or len(self._entered) >= max(1, sessions // GROWTH_SHARE):
                raise Refused("OVERLOADED", f"The platform is busy with those it has; try again in {RETRY_AFTER_S} s.", RETRY_AFTER_S)
        self._entered.append(now)


class _Told:
    """What was told in the last ``window_s``; 0 where that is nothing."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._told: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, now: float, value: float) -> None:
        self._told.append((now, value))
        self._sum += value
        self._forget(now)

    def mean(self, now: float) -> float:
        self._forget(now)
        return self._sum / len(self._told) if self._told else 0.0

    def most(self, now: float) -> float:
        self._forget(now)
        return max((value for _, value in self._told), default=0.0)

    def least(self, now: float, until: float) -> float:
        self._forget(now)
        return min((value for at, value in self._told if at <= until), default=0.0)

    def _forget(self, now: float) -> None:
        while self._told and self._told[0][0] < now - self._window_s:
            self._sum -= self._told.popleft()[1]
