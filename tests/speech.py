"""Real speech for tests: clips at 16 kHz."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array


def read_speech(path: Path) -> Float32Array:
    """The clip as mono float32 at 16 kHz, on the grid of 16-bit values, as denoise passes audio on."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
    with av.open(str(path)) as container:
        frames = [piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    frames += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(frames).astype(np.float32) / np.float32(32768.0)
