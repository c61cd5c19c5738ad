"""Which worker does what next: finals, then interims."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from threading import Condition, Thread
from typing import Any

from voxrelay.errors import Unavailable
from voxrelay.workers import Workers


class Urgency(IntEnum):
    """The lower, the sooner. Within one urgency it goes by order of arrival."""

    FINAL = 0
    INTERIM = 1


@dataclass(order=True, slots=True)
class _Job:
    urgency: Urgency
    order: int
    method: str = field(compare=False)
    arguments: tuple[Any, ...] = field(compare=False)
    future: Future[Any] = field(compare=False, default_factory=Future)


class Dispatch:
    """Hands jobs to worker processes, one at a time each: a job for one worker, or for whichever is free first. Thread-safe.

    The workers are its own from now on. ``at_work`` is entered for every job.
    """

    def __init__(self, workers: Workers, at_work: AbstractContextManager[None] | None = None) -> None:
        self._workers, self._at_work = workers, at_work or nullcontext()
        self._changed = Condition()
        self._for_any: list[_Job] = []
        self._for_one: list[list[_Job]] = [[] for _ in range(len(workers))]
        self._orders = count()
        self._is_closed = False
        self._down: set[int] = set()
        self._threads = [Thread(target=self._work, args=(index,), name=f"transcribe-worker-{index}", daemon=True) for index in range(len(workers))]
        for thread in self._threads:
            thread.start()

    def submit(self, urgency: Urgency, worker: int | None, method: str, *arguments: Any) -> Future[Any]:
        """The call's result to come, or its ``Unavailable`` or ``WorkerFailed``. ``worker`` None: whichever is free first."""
        job = _Job(urgency, next(self._orders), method, arguments)
        with self._changed:
            if self._is_closed:
                job.future.set_exception(Unavailable("The recognisers have been closed."))
                return job.future
            heapq.heappush(self._for_any if worker is None else self._for_one[worker], job)
            self._changed.notify_all()
        return job.future

    def check(self) -> None:
        """Raises ``Unavailable`` after ``close``, and while the latest call to some worker found it dead or stuck."""
        with self._changed:
            if self._is_closed or self._down:
                raise Unavailable("A recogniser's process does not answer.")

    @property
    def process_ids(self) -> list[int | None]:
        """As those of ``Workers``."""
        return self._workers.process_ids

    def close(self) -> None:
        """Ends the workers; what waits ends with ``Unavailable``."""
        self._workers.close()
        with self._changed:
            self._is_closed = True
            waiting = [job for queue in (self._for_any, *self._for_one) for job in queue]
            for queue in (self._for_any, *self._for_one):
                queue.clear()
            self._changed.notify_all()
        for job in waiting:
            job.future.set_exception(Unavailable("The recognisers have been closed."))
        for thread in self._threads:
            thread.join()

    def _work(self, index: int) -> None:
        while (job := self._next(index)) is not None:
            try:
                with self._at_work:
                    result = self._workers.call(index, job.method, *job.arguments)
            except Exception as error:
                self._mark(index, self._down.add if isinstance(error, Unavailable) else self._down.discard)
                job.future.set_exception(error)  # whoever waits for the job raises it
            else:
                self._mark(index, self._down.discard)
                job.future.set_result(result)

    def _mark(self, index: int, change: Callable[[int], None]) -> None:
        with self._changed:
            change(index)

    def _next(self, index: int) -> _Job | None:
        own = self._for_one[index]
        with self._changed:
            while not self._is_closed:
                if own and (not self._for_any or own[0] < self._for_any[0]):
                    return heapq.heappop(own)
                if self._for_any:
                    return heapq.heappop(self._for_any)
                self._changed.wait()
        return None
