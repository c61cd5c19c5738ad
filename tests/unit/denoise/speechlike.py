"""Deterministic stand-ins for tests: noise of a colour, and the tone bursts that a scripted detector takes for speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.denoise.boundaries import BoundaryRules
from services.denoise.engine import SpeechDetector, State, Suppressor
from services.denoise.engines.omlsa import OmlsaSuppressor
from services.denoise.levels import StrengthRule
from services.denoise.session import FrontEnd
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, level_dbfs
from voxrelay.events import Engine
from voxrelay.models.slot import EngineSlot


class LoudnessDetector:
    """Says speech where a frame is louder than -30 dBFS. It keeps the newest level, so that a lost state shows."""

    engine = Engine("loudness", "1")

    def open(self) -> State:
        return {"level": np.full(1, -120.0)}

    def process(self, work: Sequence[tuple[State, Float32Array]]) -> list[Float32Array]:
        results = []
        for state, frames in work:
            probabilities = np.zeros(len(frames), dtype=np.float32)
            for number, frame in enumerate(frames):
                level = 0.3 * float(state["level"][0]) + 0.7 * level_dbfs(frame)
                state["level"][0] = level
                probabilities[number] = 1.0 / (1.0 + np.exp(-(level + 30.0) / 3.0))
            results.append(probabilities)
        return results


def white_noise(seconds: float, level_dbfs: float, seed: int = 1, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Float32Array:
    samples = np.random.default_rng(seed).standard_normal(int(seconds * sample_rate_hz)) * 10 ** (level_dbfs / 20)
    return samples.astype(np.float32)


def bursts(pattern: Sequence[tuple[float, float]], noise_dbfs: float = -55.0, seed: int = 1, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Float32Array:
    """Quiet noise and loud harmonic tone by turns: (seconds of noise, seconds of tone)."""
    noise = white_noise(sum(quiet + loud for quiet, loud in pattern), noise_dbfs, seed, sample_rate_hz)
    at = 0.0
    for quiet, loud in pattern:
        first, last = int((at + quiet) * sample_rate_hz), int((at + quiet + loud) * sample_rate_hz)
        time = np.arange(last - first) / sample_rate_hz
        noise[first:last] += sum(0.1 / n * np.sin(2 * np.pi * 140 * n * time) for n in range(1, 8)).astype(np.float32)
        at += quiet + loud
    return noise


def scripted_front_end(rules: BoundaryRules | None = None) -> FrontEnd:
    suppressors: EngineSlot[Suppressor] = EngineSlot("denoise", OmlsaSuppressor())
    detectors: EngineSlot[SpeechDetector] = EngineSlot("voice-activity", LoudnessDetector())
    return FrontEnd(suppressors, detectors, StrengthRule(12.0, 22.0, 0.6), rules or BoundaryRules(), 500)
