"""The words for pieces of audio, and the few conversions everything shares.

chunk      what arrives in one message, any length
frame      one hop of a model
window     the context a model looks at
utterance  speech between two pauses
segment    one speaker's stretch inside an utterance
session    one call, from opening to end

Inside the platform audio is mono ``pcm_s16le`` at 16 kHz once denoise has seen it, and time is counted in samples from
the session's start at that rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
PCM_BYTES = 2  # of a sample of pcm_s16le

Float32Array = NDArray[np.float32]


def float32_from_pcm_s16le(pcm_s16le: bytes | memoryview) -> Float32Array:
    """Samples in [-1, 1), shape (samples,). An odd trailing byte is a ``ValueError``."""
    return np.frombuffer(pcm_s16le, dtype="<i2").astype(np.float32) / np.float32(32768.0)


def pcm_s16le_from_float32(samples: Float32Array) -> bytes:
    """Clips to [-1, 1) and rounds to the nearest 16-bit value."""
    scaled = np.rint(np.asarray(samples, dtype=np.float32) * np.float32(32768.0))
    pcm: bytes = np.clip(scaled, -32768, 32767).astype("<i2").tobytes()
    return pcm


def seconds(samples: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> float:
    """Seconds to six digits: exact enough for every sample, and short when printed."""
    return round(samples / sample_rate_hz, 6)


def level_dbfs(samples: Float32Array) -> float:
    """RMS level in dB relative to full scale; digital silence is -120."""
    if samples.size == 0:
        return -120.0
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(-120.0, 10.0 * float(np.log10(power + 1e-12)))
