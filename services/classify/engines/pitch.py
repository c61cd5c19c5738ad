"""Pitch and periodicity of speech, 100 times a second.

Autocorrelation of windowed frames, divided by the autocorrelation of the window, and the cheapest path through each frame's
candidates: P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
sound", IFA Proceedings 17 (1993). Constants are that paper's unless a comment says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
HOP_SAMPLES = SAMPLE_RATE_HZ // 100
WINDOW_SAMPLES = 4 * HOP_SAMPLES  # 40 ms: 2.4 periods of the lowest pitch
_TRANSFORM = 1024  # window and longest lag fit without wrapping around
_CANDIDATES = 6  # voiced ones in a frame
_VOICING_THRESHOLD = 0.45
_SILENCE_THRESHOLD = 0.03
_OCTAVE_COST = 0.01
_OCTAVE_JUMP_COST = 0.35
_VOICING_COST = 0.14
_QUIETEST_PEAK = 1e-4  # -80 dBFS: below it a frame is nothing but rounding
_LAG_FROM = int(SAMPLE_RATE_HZ / HIGHEST_HZ)
_LAG_TO = int(SAMPLE_RATE_HZ / LOWEST_HZ)

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PitchTrack:
    """One value for each frame, shape (frames,). Frame n is centred on sample ``WINDOW_SAMPLES / 2 + n * HOP_SAMPLES``.

    ``pitch_hz`` is 0 where the frame is not voiced; ``periodicity`` is the height of the autocorrelation's peak there, in [0, 1).
    """

    pitch_hz: Float64Array
    periodicity: Float64Array

    @property
    def is_voiced(self) -> NDArray[np.bool_]:
        return self.pitch_hz > 0

    @property
    def voiced_s(self) -> float:
        return float(np.count_nonzero(self.pitch_hz)) * HOP_SAMPLES / SAMPLE_RATE_HZ


def _window_and_its_autocorrelation() -> tuple[Float64Array, Float64Array]:
    window = np.hanning(WINDOW_SAMPLES)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(window, _TRANSFORM)) ** 2)[: _LAG_TO + 2]
    return window, correlation / correlation[0]


_WINDOW, _WINDOW_CORRELATION = _window_and_its_autocorrelation()


def frames_of(samples: Float32Array) -> Float32Array:
    """Shape (frames, ``WINDOW_SAMPLES``), one each hop; no frame for less than a window."""
    if samples.size < WINDOW_SAMPLES:
        return np.zeros((0, WINDOW_SAMPLES), dtype=np.float32)
    return np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES]


def track_pitch(samples: Float32Array) -> PitchTrack:
    """The pitch of mono float32 samples at 16 kHz, shape (samples,)."""
    frames = frames_of(samples).astype(np.float64)
    if len(frames) == 0:
        return PitchTrack(np.zeros(0), np.zeros(0))
    frames -= frames.mean(axis=1, keepdims=True)
    pitch_hz, height = _candidates(_autocorrelation(frames))
    peak = np.abs(frames).max(axis=1)
    loudness = np.where(peak > _QUIETEST_PEAK, peak / max(float(peak.max()), _QUIETEST_PEAK), 0.0)
    unvoiced = _VOICING_THRESHOLD + np.maximum(0.0, 2.0 - (loudness / _SILENCE_THRESHOLD) / (1.0 + _VOICING_THRESHOLD))
    strength = np.where(pitch_hz > 0, height + _OCTAVE_COST * np.log2(np.maximum(pitch_hz, LOWEST_HZ) / LOWEST_HZ), -np.inf)
    path = _cheapest_path(pitch_hz, np.column_stack((unvoiced, strength)))
    rows, chosen = np.arange(len(path)), np.maximum(path - 1, 0)
    is_voiced = path > 0
    return PitchTrack(np.where(is_voiced, pitch_hz[rows, chosen], 0.0), np.where(is_voiced, np.clip(height[rows, chosen], 0.0, 0.99999), 0.0))


def _autocorrelation(frames: Float64Array) -> Float64Array:
    """Shape (frames, lags): 1 at a lag of a whole period of a periodic frame."""
    spectrum = np.fft.rfft(frames * _WINDOW, _TRANSFORM, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    correlation = np.fft.irfft(power, axis=1)[:, : _LAG_TO + 2]
    energy = np.maximum(correlation[:, :1], 1e-12)
    return np.asarray(correlation / energy / _WINDOW_CORRELATION)


def _candidates(correlation: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Pitch and height of each frame's highest peaks, shape (frames, candidates); pitch 0 where there are fewer."""
    area = correlation[:, _LAG_FROM - 1 : _LAG_TO + 2]
    middle = area[:, 1:-1]
    is_peak = (middle > area[:, :-2]) & (middle >= area[:, 2:]) & (middle > 0)
    lags = np.arange(_LAG_FROM, _LAG_FROM + middle.shape[1])
    # Of a periodic frame's equal peaks the shortest period is meant.
    score = np.where(is_peak, middle - _OCTAVE_COST * np.log2(lags * LOWEST_HZ / SAMPLE_RATE_HZ), -np.inf)
    best = np.argpartition(-score, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    best.sort(axis=1)  # the same order whatever the partition did
    before, at, after = (np.take_along_axis(area, best + offset, axis=1) for offset in (0, 1, 2))
    bend = before - 2.0 * at + after
    shift = np.where(bend < -1e-12, 0.5 * (before - after) / np.minimum(bend, -1e-12), 0.0)
    height = at - 0.25 * (before - after) * shift
    exists = np.isfinite(np.take_along_axis(score, best, axis=1))
    pitch_hz = np.where(exists, SAMPLE_RATE_HZ / (lags[best] + np.clip(shift, -1.0, 1.0)), 0.0)
    return np.clip(pitch_hz, 0.0, HIGHEST_HZ), np.where(exists, height, 0.0)


def _cheapest_path(pitch_hz: Float64Array, strength: Float64Array) -> NDArray[np.intp]:
    """The best choice in each frame (0: unvoiced, n: candidate n - 1) by dynamic programming."""
    octaves = np.log2(np.maximum(pitch_hz, 1.0))
    count, choices = strength.shape
    cost = np.zeros((count, choices, choices))
    cost[1:, 1:, 1:] = _OCTAVE_JUMP_COST * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
    cost[:, 0, 1:] = cost[:, 1:, 0] = _VOICING_COST
    came_from = np.zeros((count, choices), dtype=np.intp)
    columns = np.arange(choices)
    total = strength[0]
    for frame in range(1, count):
        arriving = total[:, None] - cost[frame]
        origin = came_from[frame] = arriving.argmax(axis=0)
        total = arriving[origin, columns] + strength[frame]
    path = np.zeros(count, dtype=np.intp)
    path[-1] = total.argmax()
    for frame in range(count - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path
