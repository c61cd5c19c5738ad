"""Whole recordings to another sampling rate, for calls that bring their audio in one piece (streams are denoise's business)."""

from __future__ import annotations

from math import gcd

import numpy as np

from voxrelay.audio import Float32Array

ZERO_CROSSINGS = 24  # on each side: stop band below -80 dB with the window's beta
BETA = 8.6
ROLL_OFF = 0.94  # of the lower Nyquist frequency
_OUTPUTS_AT_ONCE = 1 << 16


def resample(samples: Float32Array, from_hz: int, to_hz: int) -> Float32Array:
    """``samples`` (shape (n,)) at ``to_hz``, of length ceil(n * to_hz / from_hz); no delay.

    Windowed-sinc interpolation (J. O. Smith, "Digital Audio Resampling", CCRMA), one filter for each phase of the output grid.
    """
    if from_hz == to_hz or samples.size == 0:
        return samples
    divisor = gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    cutoff = ROLL_OFF * min(1.0, to_hz / from_hz)  # as a share of the input's Nyquist frequency
    reach = int(np.ceil(ZERO_CROSSINGS / cutoff))
    offsets = np.arange(-reach + 1, reach + 1)
    distance = offsets[None, :] - (np.arange(up) / up)[:, None]  # (phases, taps): from the output's place to each input sample
    window = np.i0(BETA * np.sqrt(np.clip(1.0 - (distance / reach) ** 2, 0.0, 1.0))) / np.i0(BETA)
    filters = (cutoff * np.sinc(cutoff * distance) * window).astype(np.float32)
    padded = np.concatenate((np.zeros(reach, np.float32), samples, np.zeros(reach + 1, np.float32)))
    length = -(-samples.size * up // down)
    output = np.empty(length, dtype=np.float32)
    for start in range(0, length, _OUTPUTS_AT_ONCE):
        places = np.arange(start, min(start + _OUTPUTS_AT_ONCE, length), dtype=np.int64) * down
        taps = padded[(places // up + reach)[:, None] + offsets[None, :]]
        output[start : start + places.size] = np.einsum("ij,ij->i", taps, filters[places % up])
    return output
