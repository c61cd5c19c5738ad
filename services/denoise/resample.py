"""Any rate from 8 to 48 kHz to 16 kHz mono, as a stream whose state can be saved.

soxr and libav resample better by the book, but their stream objects cannot be saved and restored (docs/adr/0007-resampler.md). Here the whole
state is two counters and a few hundred past samples.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

LEAST_RATE_HZ, MOST_RATE_HZ = 8_000, 48_000
HALF_WIDTH = 28  # of the filter, in samples of the lower of the two rates: 1.75 ms, from 8 kHz 3.5 ms
ATTENUATION_BETA = 7.0  # Kaiser: about 70 dB
PASSBAND = 0.925  # the cutoff as a share of the lower rate's half
MOST_AT_ONCE = 4096  # outputs computed in one pass, to bound memory


@lru_cache(maxsize=64)
def _filters(rate_hz: int) -> tuple[int, int, int, Float32Array]:
    """Up, down, half width in input samples, and the filter of each phase, shape (up, 2 * half)."""
    common = gcd(rate_hz, SAMPLE_RATE_HZ)
    up, down = SAMPLE_RATE_HZ // common, rate_hz // common
    lower_hz = min(rate_hz, SAMPLE_RATE_HZ)
    half = -(-HALF_WIDTH * rate_hz // lower_hz)
    cutoff = PASSBAND * lower_hz / rate_hz  # as a share of the input's half rate
    distance = np.arange(1 - half, half + 1)[None, :] - (np.arange(up) / up)[:, None]  # in input samples, from the output's moment
    window = np.i0(ATTENUATION_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / half) ** 2))) / np.i0(ATTENUATION_BETA)
    bank = cutoff * np.sinc(cutoff * distance) * window
    bank /= bank.sum(axis=1, keepdims=True)  # a constant stays what it is, in every phase
    return up, down, half, bank.astype(np.float32)


class Resampler:
    """Interleaved 16-bit frames in, float32 mono at 16 kHz out: polyphase, Kaiser-windowed sinc, no delay but waiting.

    Sample k out is at k / 16 kHz of the input's time. It comes as soon as ``delay_s`` more input is there. What comes out is the same
    bits however the input is cut. 16 kHz goes through untouched. Downmixing is the mean of the channels.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        """Raises ``ValueError`` for a rate or number of channels that is not served."""
        if not LEAST_RATE_HZ <= sample_rate_hz <= MOST_RATE_HZ or channels < 1:
            raise ValueError("Audio must have 8,000 to 48,000 Hz and at least one channel.")
        self._rate_hz, self._channels = sample_rate_hz, channels
        self._up, self._down, self._half, self._bank = _filters(sample_rate_hz)
        self.frames = 0  # taken in so far
        self.samples = 0  # given out so far
        self._held: Float32Array = np.zeros(0 if self._is_through else self._half - 1, dtype=np.float32)  # what the next output may need
        self._held_from = 1 - self._half  # the number of its first frame; before 0 is silence

    @property
    def delay_s(self) -> float:
        return 0.0 if self._is_through else self._half / self._rate_hz

    @property
    def _is_through(self) -> bool:
        return self._rate_hz == SAMPLE_RATE_HZ

    def push(self, pcm_s16le: bytes) -> Float32Array:
        """The samples this completes. Raises ``ValueError`` for anything but whole frames."""
        if len(pcm_s16le) % (2 * self._channels):
            raise ValueError("A chunk must hold whole frames of 16-bit samples.")
        frames = np.frombuffer(pcm_s16le, dtype="<i2").reshape(-1, self._channels)
        mono = frames[:, 0] if self._channels == 1 else frames.sum(axis=1, dtype=np.int32) / np.float32(self._channels)
        samples = mono.astype(np.float32) / np.float32(32768.0)
        self.frames += samples.size
        if self._is_through:
            self.samples += samples.size
            return samples
        self._held = np.concatenate((self._held, samples))
        return self._completed(self.frames - self._half)

    def finish(self) -> Float32Array:
        """The rest, as if silence followed: in all, one output for each 1/16,000 s that began before the input's end."""
        if self._is_through:
            return np.zeros(0, dtype=np.float32)
        self._held = np.concatenate((self._held, np.zeros(self._half, dtype=np.float32)))
        return self._completed(self.frames)

    def _completed(self, known_frames: int) -> Float32Array:
        """The outputs whose moment lies before frame ``known_frames``."""
        until = max(self.samples, -(-known_frames * self._up // self._down))
        pieces = [self._compute(first, min(first + MOST_AT_ONCE, until)) for first in range(self.samples, until, MOST_AT_ONCE)]
        self.samples = until
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
        """What ``load`` needs beside rate and channels."""
        return self._held, [self.frames, self.samples, self._held_from]

    def load(self, held: Float32Array, counters: list[int]) -> None:
        self._held = held
        self.frames, self.samples, self._held_from = counters
