"""Events through processes that share cores: a discrete-event simulation, seeded.

A process waits for a core when something lies in its inbox, takes what lies there, pays once for waking up and once for each event, and goes on
while its inbox is not empty. This is batch service in a network of queues; with one event at a time, no price for waking and Poisson arrivals it is
the M/D/1 queue, whose mean wait Pollaczek and Khinchine give in closed form (Kleinrock, Queueing Systems, vol. 1, 1975).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

SPREAD = 4.0  # shape of the gamma distribution of a service time: its standard deviation is half its mean
GATHERING = -2  # an event that has only just come, before its first step


@dataclass(frozen=True)
class Work:
    """What one process costs, in seconds of a core."""

    wake_s: float
    event_s: float
    at_most: int = 500  # events taken at once
    threads: int = 1  # how many cores it can use
    hands_over_together: bool = False  # results leave when all that was taken is done, not one by one


@dataclass(frozen=True)
class Step:
    """Where an event goes next; before that it may be gathered with others for so long."""

    process: str
    gathered_s: float = 0.0


@dataclass
class _Process:
    name: str
    work: Work
    inbox: deque[tuple[int, int]] = field(default_factory=deque)  # event, step
    running: int = 0
    is_waiting: bool = False  # for a core


class Simulation:
    """``run`` once. Times in seconds."""

    def __init__(self, processes: Mapping[str, Work], route: Sequence[Step], cores: int, rng: Random, *, is_regular: bool = False) -> None:
        """``is_regular``: every service takes exactly its mean."""
        self._processes = {name: _Process(name, work) for name, work in processes.items()}
        self._route, self._free_cores, self._rng, self._is_regular = route, cores, rng, is_regular
        self._departures = [-1.0] * len(route)
        self._ready: deque[_Process] = deque()
        self._agenda: list[tuple[float, int, _Process | None, int, int]] = []
        self._number = 0
        self.busy_s = dict.fromkeys(processes, 0.0)  # seconds of a core

    def run(self, arrivals: Iterable[float]) -> list[float]:
        """How long each event took from its arrival through the route, in the order of the arrivals."""
        began = list(arrivals)
        ended = [0.0] * len(began)
        for event, at in enumerate(began):
            self._plan(at, None, event, GATHERING)
        while self._agenda:
            now, _, freed, event, step = heapq.heappop(self._agenda)
            if freed is not None:
                self._free_cores += 1
                freed.running -= 1
                self._want_core(freed)
            elif step == GATHERING:
                self._send(now, event, 0)
            elif step == len(self._route):
                ended[event] = now
            else:
                self._arrive(event, step)
            self._give_cores(now)
        return [end - begin for begin, end in zip(began, ended, strict=True)]

    def _plan(self, at: float, freed: _Process | None, event: int = -1, step: int = -1) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (at, self._number, freed, event, step))

    def _arrive(self, event: int, step: int) -> None:
        process = self._processes[self._route[step].process]
        process.inbox.append((event, step))
        self._want_core(process)

    def _want_core(self, process: _Process) -> None:
        if process.inbox and not process.is_waiting and process.running < process.work.threads:
            process.is_waiting = True
            self._ready.append(process)

    def _give_cores(self, now: float) -> None:
        while self._free_cores and self._ready:
            process = self._ready.popleft()
            process.is_waiting = False
            self._free_cores -= 1
            process.running += 1
            work, at = process.work, now + process.work.wake_s
            taken = [process.inbox.popleft() for _ in range(min(work.at_most, len(process.inbox)))]
            ends = [at := at + self._service_s(work.event_s) for _ in taken]
            for (event, step), end in zip(taken, ends, strict=True):
                self._send(at if work.hands_over_together else end, event, step + 1)
            self.busy_s[process.name] += at - now
            self._plan(at, process)
            self._want_core(process)

    def _send(self, at: float, event: int, step: int) -> None:
        gathered_s = self._route[step].gathered_s if step < len(self._route) else 0.0
        if gathered_s:
            if at > self._departures[step]:
                self._departures[step] = at + gathered_s
            at = self._departures[step]
        self._plan(at, None, event, step)

    def _service_s(self, mean_s: float) -> float:
        return mean_s if self._is_regular else self._rng.gammavariate(SPREAD, mean_s / SPREAD)


def chunks_of(sessions: int, seconds: float, rng: Random, chunk_s: float = 0.1) -> list[float]:
    """When the chunks of so many live sessions come, each session with a phase of its own."""
    phases = [rng.random() * chunk_s for _ in range(sessions)]
    return sorted(phase + number * chunk_s for phase in phases for number in range(int(seconds / chunk_s)))
