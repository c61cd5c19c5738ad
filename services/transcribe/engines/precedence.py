"""Recognisers of files let those of people go first, on whatever core.

A niceness decides who has a core that both want. But two cores are often one that does two things at once, and always share caches and memory:
a recogniser takes half as long again while another one is at work beside it. So one that listens to a file waits while any listens to somebody
who speaks, as long as it has had more than a tenth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from ctypes import c_int
from multiprocessing import get_context
from threading import Lock
from types import TracebackType

LEAST_SHARE = 0.1  # of the time, as the scheduler gives to a niceness of 10
FIRST_WAIT_S = 0.1
LOOK_EVERY_S = 0.005
PIECE_BYTES = 3200  # 100 ms of audio, decoded in some 15 ms


class AtWork:
    """Entered, from any thread, while a worker listens to somebody who speaks. ``count`` is seen by all processes it was given to at their start."""

    def __init__(self) -> None:
        self.count: c_int = get_context("spawn").RawValue(c_int, 0)
        self._lock = Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.count.value += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self.count.value -= 1


def in_turn(pcm_s16le: bytes, ahead: c_int | None) -> Iterator[bytes]:
    """The audio in pieces, each when it may be decoded; all of it at once for those who wait for nobody (``ahead`` None)."""
    if ahead is None:
        yield pcm_s16le
        return
    began, worked = time.monotonic(), time.process_time()
    for start in range(0, len(pcm_s16le), PIECE_BYTES):
        while ahead.value and time.monotonic() - began < FIRST_WAIT_S + (time.process_time() - worked) / LEAST_SHARE:
            time.sleep(LOOK_EVERY_S)
        yield pcm_s16le[start : start + PIECE_BYTES]
