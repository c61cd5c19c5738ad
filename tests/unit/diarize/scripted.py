"""Voices without speech: a scripted embedder, and audio that it knows speakers by."""

from __future__ import annotations

import numpy as np

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, pcm_s16le_from_float32
from voxrelay.events import (
    AudioDenoised,
    Engine,
    Payload,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    UtteranceEnded,
    UtteranceStarted,
)

CHUNK = 1_600
DIMENSIONS = 16
BASE_HZ = 400


class ScriptedEmbedder:
    """A speaker is a tone of 400 Hz times his number, and his direction one axis; a window of several has a share of each.

    ``calls`` are the numbers of windows it got.
    """

    engine = Engine("scripted", "1", "none")
    window_samples = 8 * CHUNK
    step_samples = 4 * CHUNK
    dimensions = DIMENSIONS
    threshold, threshold_when_told = 0.5, 0.4

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed(self, windows: Float32Array) -> Float32Array:
        self.calls.append(len(windows))
        return np.stack([self._direction(window) for window in windows]) if len(windows) else np.zeros((0, DIMENSIONS), dtype=np.float32)

    def _direction(self, window: Float32Array) -> Float32Array:
        bins = np.arange(DIMENSIONS) * BASE_HZ * window.size // SAMPLE_RATE_HZ
        shares = np.abs(np.fft.rfft(window))[bins]
        shares[0] = 1e-3 * window.size  # all voices are a little alike
        return np.asarray(shares / np.linalg.norm(shares), dtype=np.float32)


def voice(speaker: int, start_sample: int, samples: int) -> Float32Array:
    """0 is silence."""
    if speaker == 0:
        return np.zeros(samples, dtype=np.float32)
    times_s = np.arange(start_sample, start_sample + samples) / SAMPLE_RATE_HZ
    return np.asarray(0.3 * np.sin(2 * np.pi * BASE_HZ * speaker * times_s), dtype=np.float32)


def conversation(script: list[list[tuple[int, float]]], config: SessionConfig, changes: dict[int, SessionConfig] | None = None) -> list[Payload]:
    """Utterances of (speaker, seconds), with half a second of silence before each end is announced and half a second behind that.

    ``changes`` are configurations that come in the middle of the utterance of that number, from 0.
    """
    payloads: list[Payload] = [SessionOpened(config), *_chunks(np.zeros(5 * CHUNK, dtype=np.float32), 0)]
    at = 5 * CHUNK
    for number, parts in enumerate(script):
        start, utterance_id = at, f"u{number + 1}"
        spoken = []
        for speaker, length_s in parts:
            spoken.append(voice(speaker, at, round(length_s * SAMPLE_RATE_HZ)))
            at += spoken[-1].size
        chunks = _chunks(np.concatenate([*spoken, np.zeros(5 * CHUNK, dtype=np.float32)]), start)
        middle = len(chunks) // 2
        payloads += [*chunks[:2], UtteranceStarted(utterance_id, start), *chunks[2:middle]]
        if changes and number in changes:
            payloads.append(SessionConfigured(changes[number]))
        payloads += [*chunks[middle:], UtteranceEnded(utterance_id, start, at)]
        at += 5 * CHUNK
        payloads += _chunks(np.zeros(5 * CHUNK, dtype=np.float32), at)
        at += 5 * CHUNK
    return [*payloads, SessionEnded("closed", at / SAMPLE_RATE_HZ)]


def _chunks(samples: Float32Array, start: int) -> list[Payload]:
    return [AudioDenoised(start + at, pcm_s16le_from_float32(samples[at : at + CHUNK])) for at in range(0, samples.size, CHUNK)]
