"""Resemblyzer's GE2E speaker encoder in NumPy: https://github.com/resemble-ai/Resemblyzer, Apache-2.0.

Method: Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018. 40 mel channels (librosa's Slaney scale, power,
not logarithmic), three LSTM layers of 256 cells, the last state through a linear layer and a rectifier, scaled to length one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, level_dbfs
from voxrelay.engines import EngineUnusable
from voxrelay.events import Engine
from voxrelay.models.torch_weights import UnreadableWeights, read_torch_weights

SPECTRUM_SAMPLES = 400
HOP_SAMPLES = 160
CHANNELS = 40
FRAMES = 160
CELLS = 256
LAYERS = 3
DIMENSIONS = 256
LEAST_LEVEL_DBFS = -30.0  # softer windows are made so loud
ROWS_AT_ONCE = 64
FEW_ROWS = 3
STATE_GRID = 256  # a recurrent state is in [-1, 1], and taken to 1/256
MOST_WEIGHT = (1 << 24) // STATE_GRID - CELLS  # of the sum of a gate's weights, rounded: all partial sums stay below 2 ** 24


class Ge2eEmbedder:
    """Bit-equal in any company, although rounding in a product of matrices depends on how many rows there are.

    What a window needs by itself is computed by itself, in products of one shape. Only the recurrent products run over all rows at once,
    and these are exact: states and weights are whole numbers so small that no sum leaves the 24 bits of single precision.
    Nothing is changed after the start: any thread may call.
    """

    window_samples = FRAMES * HOP_SAMPLES
    step_samples = FRAMES * HOP_SAMPLES * 3 // 8
    dimensions = DIMENSIONS

    def __init__(self, weights: Path, model_digest: str = "", threshold: float = 0.37, threshold_when_told: float = 0.30) -> None:
        """Raises ``EngineUnusable`` for weights that cannot be read or are another model's."""
        try:
            tensors = read_torch_weights(weights, "model_state")
        except UnreadableWeights as error:
            raise EngineUnusable(f"{weights} is not GE2E's weights: run 'voxrelay models pull ge2e'. {error}") from error
        self._layers = [_Layer(tensors, number, weights) for number in range(LAYERS)]
        self._projection = _tensor(tensors, "linear.weight", (DIMENSIONS, CELLS), weights).T.copy()
        self._offset = _tensor(tensors, "linear.bias", (DIMENSIONS,), weights)
        self._mel = _mel_filters()
        self._taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SPECTRUM_SAMPLES) / SPECTRUM_SAMPLES)).astype(np.float32)
        self.threshold, self.threshold_when_told = threshold, threshold_when_told
        self.engine = Engine("ge2e", "resemblyzer-0.1.4", model_digest)

    def embed(self, windows: Float32Array) -> Float32Array:
        parts = [self._embed(windows[first : first + ROWS_AT_ONCE]) for first in range(0, windows.shape[0], ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, DIMENSIONS), dtype=np.float32)

    def check(self) -> str | None:
        return None

    def _embed(self, windows: Float32Array) -> Float32Array:
        sequence = np.stack([self._features(window) for window in windows])
        for layer in self._layers:
            sequence = layer.run(sequence)
        return np.stack([self._direction(state) for state in sequence[:, -1]])

    def _direction(self, state: Float32Array) -> Float32Array:
        direction = np.maximum(state @ self._projection + self._offset, 0.0)
        length = np.sqrt(np.sum(direction * direction))
        if length == 0.0:  # no cell stirred: any direction, as long as it is one
            return np.full(DIMENSIONS, DIMENSIONS**-0.5, dtype=np.float32)
        return np.asarray(direction / length, dtype=np.float32)

    def _features(self, window: Float32Array) -> Float32Array:
        """Mel power, shape (frames, channels)."""
        missing_db = LEAST_LEVEL_DBFS - level_dbfs(window)
        louder = window * np.float32(10 ** (max(0.0, missing_db) / 20))
        padded = np.pad(louder, SPECTRUM_SAMPLES // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_SAMPLES)[::HOP_SAMPLES][:FRAMES]
        spectrum = np.fft.rfft(frames * self._taper, axis=1)
        return np.asarray((spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ self._mel, dtype=np.float32)


class _Layer:
    """One LSTM layer. Gates in the order input, forget, output, candidate: the three of one kind lie together."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], number: int, path: Path) -> None:
        inputs = CHANNELS if number == 0 else CELLS
        order = np.r_[0 : 2 * CELLS, 3 * CELLS : 4 * CELLS, 2 * CELLS : 3 * CELLS]  # torch has the candidate third
        self._from_input = _tensor(tensors, f"lstm.weight_ih_l{number}", (4 * CELLS, inputs), path)[order].T.copy()
        recurrent = _tensor(tensors, f"lstm.weight_hh_l{number}", (4 * CELLS, CELLS), path)[order].T
        scale = MOST_WEIGHT / np.abs(recurrent).sum(axis=0)
        self._from_state = np.rint(recurrent * scale).astype(np.float32)
        self._state_scale = (1.0 / (scale * STATE_GRID)).astype(np.float32)
        biases = [_tensor(tensors, f"lstm.bias_{kind}_l{number}", (4 * CELLS,), path) for kind in ("ih", "hh")]
        self._bias = (biases[0] + biases[1])[order]

    def run(self, sequence: Float32Array) -> Float32Array:
        """Shape (n, frames, inputs) to (n, frames, cells)."""
        driven = np.stack([one @ self._from_input + self._bias for one in sequence], axis=1)  # by itself: see above
        output = np.empty((*sequence.shape[:2], CELLS), dtype=np.float32)
        memory = np.zeros((sequence.shape[0], CELLS), dtype=np.float32)
        state = np.zeros_like(memory)
        for number, gates in enumerate(driven):
            gates += self._recurrent(np.rint(state * np.float32(STATE_GRID))) * self._state_scale
            opened = gates[:, : 3 * CELLS] * np.float32(0.5)
            np.tanh(opened, out=opened)  # the logistic function by the hyperbolic tangent
            opened *= np.float32(0.5)
            opened += np.float32(0.5)
            memory *= opened[:, CELLS : 2 * CELLS]
            memory += opened[:, :CELLS] * np.tanh(gates[:, 3 * CELLS :])
            state = opened[:, 2 * CELLS :] * np.tanh(memory)
            output[:, number] = state
        return output

    def _recurrent(self, states: Float32Array) -> Float32Array:
        """Exact, so any way is right; for a few rows one at a time is quicker."""
        if states.shape[0] > FEW_ROWS:
            return np.asarray(states @ self._from_state, dtype=np.float32)
        return np.stack([state @ self._from_state for state in states])


def _tensor(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], path: Path) -> Float32Array:
    found = tensors.get(name)
    if found is None or found.shape != shape:
        raise EngineUnusable(f"{path} is not GE2E's weights: run 'voxrelay models pull ge2e'.")
    return found.astype(np.float32)


def _mel_filters() -> Float32Array:
    """Triangles of equal area on Slaney's scale (linear to 1 kHz, logarithmic above), shape (bins, channels)."""
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, SPECTRUM_SAMPLES // 2 + 1)
    top_mel = 15.0 + np.log(SAMPLE_RATE_HZ / 2 / 1000.0) / (np.log(6.4) / 27.0)
    mels = np.linspace(0.0, top_mel, CHANNELS + 2)
    corners_hz = np.where(mels >= 15.0, 1000.0 * np.exp((np.log(6.4) / 27.0) * (mels - 15.0)), mels * 200.0 / 3.0)
    filters = np.zeros((bins_hz.size, CHANNELS), dtype=np.float32)
    for channel, ((low, middle), (_, high)) in enumerate(pairwise(pairwise(corners_hz))):
        rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
        filters[:, channel] = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return filters
