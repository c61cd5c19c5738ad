"""Speech to another sampling rate while it is made: one continuous signal, however it comes in pieces."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from voxrelay.audio import Float32Array

ZERO_CROSSINGS = 24  # on each side
BETA = 8.6  # Kaiser: stop band below -80 dB
ROLL_OFF = 0.94  # of the lower Nyquist frequency
_OUTPUTS_AT_ONCE = 1 << 14  # to bound memory


@lru_cache(maxsize=8)
def _filters(from_hz: int, to_hz: int) -> tuple[int, int, int, Float32Array]:
    """Up, down, reach in input samples, and the filter of each phase of the output grid, shape (up, 2 * reach)."""
    divisor = gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    cutoff = ROLL_OFF * min(1.0, to_hz / from_hz)  # as a share of the input's Nyquist frequency
    reach = int(np.ceil(ZERO_CROSSINGS / cutoff))
    distance = np.arange(1 - reach, reach + 1)[None, :] - (np.arange(up) / up)[:, None]
    window = np.i0(BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / reach) ** 2))) / np.i0(BETA)
    return up, down, reach, (cutoff * np.sinc(cutoff * distance) * window).astype(np.float32)


class StreamResampler:
    """Float32 mono in at ``from_hz``, out at ``to_hz``, without delay but waiting: sample k out is at k / to_hz of the input's time.

    Windowed-sinc interpolation (J. O. Smith, "Digital Audio Resampling", CCRMA), as in ``voxrelay.resampling``. What comes out in all
    is the same bits however the input is cut: ceil(n * to_hz / from_hz) samples for n.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._is_through = from_hz == to_hz
        self._up, self._down, self._reach, self._bank = _filters(from_hz, to_hz)
        self._taken = 0
        self._given = 0
        self._held: Float32Array = np.zeros(self._reach - 1, dtype=np.float32)
        self._held_from = 1 - self._reach  # the number of its first sample; before 0 is silence

    def push(self, samples: Float32Array) -> Float32Array:
        """The samples this completes, shape (n,), n may be 0."""
        if self._is_through:
            return samples
        self._taken += samples.size
        self._held = np.concatenate((self._held, samples))
        return self._completed(self._taken - self._reach)

    def finish(self) -> Float32Array:
        """The rest, as if silence followed."""
        if self._is_through:
            return np.zeros(0, dtype=np.float32)
        self._held = np.concatenate((self._held, np.zeros(self._reach, dtype=np.float32)))
        return self._completed(self._taken)

    def _completed(self, known: int) -> Float32Array:
        """The outputs whose moment lies before input sample ``known``."""
        until = max(self._given, -(-known * self._up // self._down))
        pieces = [self._compute(first, min(first + _OUTPUTS_AT_ONCE, until)) for first in range(self._given, until, _OUTPUTS_AT_ONCE)]
        self._given = until
        surplus = until * self._down // self._up + 1 - self._reach - self._held_from
        if surplus > 0:
            self._held = self._held[surplus:].copy()
            self._held_from += surplus
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)

    def _compute(self, first: int, until: int) -> Float32Array:
        places = np.arange(first, until, dtype=np.int64) * self._down
        windows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._reach)
        # Summed row by row: in an order that depends on a row's length alone (BLAS promises nothing of the kind).
        products = windows[places // self._up + 1 - self._reach - self._held_from] * self._bank[places % self._up]
        summed: Float32Array = products.sum(axis=1)
        return summed
