"""Voices whose pitch, jitter, shimmer and noise are known, and a classifier that only counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.events import Attribute, Engine


def pulse_train(pitch_hz: float, duration_s: float = 2.0, jitter_percent: float = 0.0, shimmer_percent: float = 0.0) -> Float32Array:
    """Smooth pulses; every second period is longer and every second pulse stronger, by exactly the local jitter and shimmer."""
    period = SAMPLE_RATE_HZ / pitch_hz
    samples = np.zeros(int(duration_s * SAMPLE_RATE_HZ))
    place, number = 200.0, 0
    while place < samples.size - 200:
        sign = 1.0 if number % 2 else -1.0
        around = np.arange(int(place) - 60, int(place) + 60)
        width = (around - place) / 5.0
        samples[around] += (1.0 + sign * shimmer_percent / 200.0) * np.exp(-(width**2)) * (1.0 - 2.0 * width**2)
        place += period * (1.0 + sign * jitter_percent / 200.0)
        number += 1
    return np.asarray(0.3 * samples, dtype=np.float32)


def harmonics(pitch_hz: float, duration_s: float = 2.0, level: float = 0.05) -> Float32Array:
    """A steady tone of harmonics up to 4 kHz."""
    seconds = np.arange(int(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    count = int(4000 / pitch_hz)
    tone = sum(np.sin(2 * np.pi * pitch_hz * number * seconds + number**2) / number for number in range(1, count + 1))
    return np.asarray(level * tone, dtype=np.float32)


def white_noise(samples: int, level: float, seed: int = 1) -> Float32Array:
    return np.asarray(np.random.default_rng(seed).normal(size=samples) * level, dtype=np.float32)


def syllables_at(rate: float, duration_s: float = 4.0, pitch_hz: float = 120.0) -> Float32Array:
    """A voice whose loudness swings so many times a second, by some 12 dB."""
    tone = harmonics(pitch_hz, duration_s)
    seconds = np.arange(tone.size) / SAMPLE_RATE_HZ
    return np.asarray(tone * (0.25 + 0.75 * np.sin(np.pi * rate * seconds) ** 2), dtype=np.float32)


class CountingClassifier:
    """Keeps the contract of an ``AcousticClassifier``: the answer depends on the samples alone. ``calls`` are the batches' sizes."""

    engine = Engine("counting", "1", "none")
    names = ("samples", "sum")

    def __init__(self) -> None:
        self.calls: list[int] = []

    def classify(self, utterances: Sequence[Float32Array]) -> list[tuple[Attribute, ...]]:
        self.calls.append(len(utterances))
        return [
            (Attribute("samples", float(samples.size), 1.0), Attribute("sum", round(float(samples.sum(dtype=np.float64)), 6), 1.0))
            for samples in utterances
        ]
