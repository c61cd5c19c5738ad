"""Loudness over time: syllables, pauses, level and background.

Syllables are peaks of the intensity that stand out from the dips beside them and are voiced: N. H. de Jong and T. Wempe, "Praat
script to detect syllable nuclei and measure speech rate automatically", Behavior Research Methods 41 (2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.classify.engines.pitch import HOP_SAMPLES, WINDOW_SAMPLES, Float64Array, PitchTrack, frames_of
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array

SILENCE_DB = 25.0  # this far below the loudest frames there is no speech
DIP_DB = 2.0
SHORTEST_PAUSE_S = 0.3
FLOOR_DBFS = -120.0
_FRAME_S = HOP_SAMPLES / SAMPLE_RATE_HZ


def _gaussian() -> Float64Array:
    """Over 64 ms, as Praat's intensity with a minimum pitch of 50 Hz: single periods do not show, syllables do."""
    places = np.arange(-3, 4) / 3.0
    weights = np.exp(-4.0 * places**2)
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True, slots=True)
class Loudness:
    """Power of each frame of the pitch track, shape (frames,), and of the same smoothed for syllables, in dBFS."""

    power: Float64Array
    smooth_dbfs: Float64Array

    @property
    def sounding(self) -> NDArray[np.bool_]:
        """Frames no more than 25 dB below the loudest (the 99th percentile)."""
        if self.smooth_dbfs.size == 0:
            return np.zeros(0, dtype=bool)
        return np.asarray(self.smooth_dbfs >= max(float(np.quantile(self.smooth_dbfs, 0.99)) - SILENCE_DB, FLOOR_DBFS + 1.0))


def decibels(power: Float64Array) -> Float64Array:
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-12)))


def loudness(samples: Float32Array) -> Loudness:
    frames = frames_of(samples)
    window = np.hanning(WINDOW_SAMPLES)
    power = (frames.astype(np.float64) ** 2) @ (window / window.sum())
    if power.size == 0:
        return Loudness(power, power)
    padded = np.pad(power, 3, mode="edge")
    return Loudness(power, decibels(np.convolve(padded, _gaussian(), mode="valid")))


def syllables(loud: Loudness, track: PitchTrack) -> int:
    """Voiced peaks within 25 dB of the loudest, at least 2 dB above the dip before them."""
    level = loud.smooth_dbfs
    if level.size < 3:
        return 0
    # Both extremes alternate: a plateau counts where it is left.
    steps = np.sign(np.diff(level))
    moving = np.flatnonzero(steps)
    if moving.size == 0:
        return 0
    turns = moving[np.flatnonzero(np.diff(steps[moving]))] + 1
    is_rise = steps[turns - 1] > 0
    sounding, count, dip = loud.sounding, 0, float(level[0])
    for place, is_peak in zip(turns.tolist(), is_rise.tolist(), strict=True):
        if not is_peak:
            dip = min(dip, float(level[place]))
        elif level[place] - dip >= DIP_DB and sounding[place]:
            count += int(track.pitch_hz[place] > 0)
            dip = float(level[place])
    return count


def speaking_s(loud: Loudness) -> float:
    """Seconds without the pauses: silences of 0.3 s or more, also before the first sound and after the last."""
    silent = ~loud.sounding
    edges = np.flatnonzero(np.diff(np.concatenate(([0], silent.astype(np.int8), [0]))))
    lengths = edges[1::2] - edges[::2]
    paused = int(lengths[lengths * _FRAME_S >= SHORTEST_PAUSE_S].sum())
    return (silent.size - paused) * _FRAME_S
