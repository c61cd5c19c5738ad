"""Audio to another sampling rate, as a stream whose state can be saved, or in one piece.

soxr and libav resample better by the book, but their stream objects cannot be saved and restored (docs/adr/0007-resampler.md). Here the whole
state is two counters and a few hundred past samples.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from voxrelay.audio import Float32Array

HALF_WIDTH = 28  # of the filter, in samples of the lower of the two rates: 1.75 ms at 16 kHz
BETA = 7.0  # Kaiser: about 70 dB
PASSBAND = 0.925  # the cutoff as a share of the lower rate's half
MOST_AT_ONCE = 4096  # outputs computed in one pass, to bound memory


@lru_cache(maxsize=64)
def _filters(from_hz: int, to_hz: int) -> tuple[int, int, int, Float32Array]:
    """Up, down, half width in input samples, and the filter of each phase of the output grid, shape (up, 2 * half)."""
    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    lower_hz = min(from_hz, to_hz)
    half = -(-HALF_WIDTH * from_hz // lower_hz)
    cutoff = PASSBAND * lower_hz / from_hz  # as a share of the input's half rate
    distance = np.arange(1 - half, half + 1)[None, :] - (np.arange(up) / up)[:, None]  # in input samples, from the output's moment
    window = np.i0(BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / half) ** 2))) / np.i0(BETA)
    bank = cutoff * np.sinc(cutoff * distance) * window
    bank /= bank.sum(axis=1, keepdims=True)  # a constant stays what it is, in every phase
    return up, down, half, bank.astype(np.float32)


class StreamResampler:
    """Float32 mono in at ``from_hz``, out at ``to_hz``: polyphase, Kaiser-windowed sinc, no delay but waiting.

    Sample k out is at k / to_hz of the input's time, and comes as soon as ``delay_s`` more input is there: ceil(n * to_hz / from_hz) in all
    for n. What comes out is the same bits however the input is cut. Equal rates go through untouched. Method: J. O. Smith, "Digital
    Audio Resampling", CCRMA.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._is_through = from_hz, from_hz == to_hz
        self._up, self._down, self._half, self._bank = _filters(from_hz, to_hz)
        self.taken = 0  # samples
        self.given = 0
        self._held: Float32Array = np.zeros(0 if self._is_through else self._half - 1, dtype=np.float32)  # what the next output may need
        self._held_from = 1 - self._half  # the number of its first sample; before 0 is silence

    @property
    def delay_s(self) -> float:
        return 0.0 if self._is_through else self._half / self._from_hz

    def push(self, samples: Float32Array) -> Float32Array:
        """The samples this completes, shape (n,), n may be 0."""
        self.taken += samples.size
        if self._is_through:
            self.given += samples.size
            return samples
        self._held = np.concatenate((self._held, samples))
        return self._completed(self.taken - self._half)

    def finish(self) -> Float32Array:
        """The rest, as if silence followed."""
        if self._is_through:
            return np.zeros(0, dtype=np.float32)
        self._held = np.concatenate((self._held, np.zeros(self._half, dtype=np.float32)))
        return self._completed(self.taken)

    def _completed(self, known: int) -> Float32Array:
        """The outputs whose moment lies before input sample ``known``."""
        until = max(self.given, -(-known * self._up // self._down))
        pieces = [self._compute(first, min(first + MOST_AT_ONCE, until)) for first in range(self.given, until, MOST_AT_ONCE)]
        self.given = until
        needed_from = until * self._down // self._up + 1 - self._half
        if needed_from > self._held_from:
            self._held = self._held[needed_from - self._held_from :].copy()
            self._held_from = needed_from
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)

    def _compute(self, first: int, until: int) -> Float32Array:
        at = np.arange(first, until, dtype=np.int64) * self._down
        starts = at // self._up + (1 - self._half - self._held_from)
        windows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._half)[starts]
        # Summed row by row: NumPy adds a row's elements in an order that depends on its length alone (BLAS promises nothing of the kind).
        products = np.multiply(windows, self._bank[at % self._up], out=windows)
        summed: Float32Array = products.sum(axis=1)
        return summed

    def dump(self) -> tuple[Float32Array, list[int]]:
        """What ``load`` needs beside the rates."""
        return self._held, [self.taken, self.given, self._held_from]

    def load(self, held: Float32Array, counters: list[int]) -> None:
        self._held = held
        self.taken, self.given, self._held_from = counters


def resample(samples: Float32Array, from_hz: int, to_hz: int) -> Float32Array:
    """A whole recording (shape (n,)) at ``to_hz``, of length ceil(n * to_hz / from_hz)."""
    stream = StreamResampler(from_hz, to_hz)
    return np.concatenate((stream.push(samples), stream.finish()))
