"""A WAV file in pieces, and the time one needs to send them: shared by the flows. Standard library only."""

from __future__ import annotations

import time
import wave
from collections.abc import Iterator

PIECE_S = 0.1
PACE = 2.0  # times as fast as it was spoken


def rate_of(path: str) -> int:
    with wave.open(path) as file:
        return file.getframerate()


def pieces(path: str) -> Iterator[bytes]:
    with wave.open(path) as file:
        while piece := file.readframes(int(PIECE_S * file.getframerate())):
            yield piece


def wait_until(is_so, within_s: float = 20.0) -> bool:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(is_so())
