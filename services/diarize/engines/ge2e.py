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

from services.diarize.engine import Float64Array
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
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


class Ge2eEmbedder:
    """Computes in double precision: rounding then differs between batches, and between processors, by far less than the grid.

    NumPy lets go of the interpreter's lock in the products, and nothing is changed after the start: any thread may call.
    """

    window_samples = FRAMES * HOP_SAMPLES
    step_samples = FRAMES * HOP_SAMPLES // 4
    dimensions = DIMENSIONS

    def __init__(self, weights: Path, model_digest: str = "") -> None:
        """Raises ``EngineUnusable`` for weights that cannot be read or are another model's."""
        try:
            tensors = read_torch_weights(weights, "model_state")
        except UnreadableWeights as error:
            raise EngineUnusable(f"{weights} is not GE2E's weights: run 'voxrelay models pull ge2e'. {error}") from error
        self._layers = [_Layer(tensors, number, weights) for number in range(LAYERS)]
        self._projection = _tensor(tensors, "linear.weight", (DIMENSIONS, CELLS), weights).T.copy()
        self._offset = _tensor(tensors, "linear.bias", (DIMENSIONS,), weights)
        self._mel = _mel_filters()
        self._taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SPECTRUM_SAMPLES) / SPECTRUM_SAMPLES)
        self.engine = Engine("ge2e", "resemblyzer-0.1.4", model_digest)

    def embed(self, windows: Float32Array) -> Float64Array:
        if windows.shape[0] == 0:
            return np.zeros((0, DIMENSIONS))
        parts = [self._embed(windows[first : first + ROWS_AT_ONCE]) for first in range(0, windows.shape[0], ROWS_AT_ONCE)]
        return np.concatenate(parts)

    def _embed(self, windows: Float32Array) -> Float64Array:
        sequence = self._features(windows)
        for layer in self._layers:
            sequence = layer.run(sequence)
        directions = np.maximum(sequence[-1] @ self._projection + self._offset, 0.0)
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
        silent = np.full(DIMENSIONS, DIMENSIONS**-0.5)  # a unit vector even where every cell is at rest
        return np.where(lengths > 0.0, directions / np.maximum(lengths, 1e-300), silent)

    def _features(self, windows: Float32Array) -> Float64Array:
        """Mel power, shape (frames, n, channels)."""
        samples = windows.astype(np.float64)
        level_dbfs = 10 * np.log10(np.mean(samples * samples, axis=1) + 1e-12)
        samples *= (10 ** (np.maximum(LEAST_LEVEL_DBFS - level_dbfs, 0.0) / 20))[:, None]
        half = SPECTRUM_SAMPLES // 2
        padded = np.pad(samples, ((0, 0), (half, half)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_SAMPLES, axis=1)[:, ::HOP_SAMPLES][:, :FRAMES]
        spectrum = np.fft.rfft(frames * self._taper, axis=2)
        power = spectrum.real**2 + spectrum.imag**2
        return np.ascontiguousarray(np.swapaxes(power @ self._mel, 0, 1))


class _Layer:
    """One LSTM layer; the gates lie in torch's order: input, forget, candidate, output."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], number: int, path: Path) -> None:
        inputs = CHANNELS if number == 0 else CELLS
        self._from_input = _tensor(tensors, f"lstm.weight_ih_l{number}", (4 * CELLS, inputs), path).T.copy()
        self._from_state = _tensor(tensors, f"lstm.weight_hh_l{number}", (4 * CELLS, CELLS), path).T.copy()
        biases = [_tensor(tensors, f"lstm.bias_{kind}_l{number}", (4 * CELLS,), path) for kind in ("ih", "hh")]
        self._bias = biases[0] + biases[1]

    def run(self, sequence: Float64Array) -> Float64Array:
        """Shape (frames, n, inputs) to (frames, n, cells)."""
        driven = sequence @ self._from_input + self._bias
        output = np.empty((sequence.shape[0], sequence.shape[1], CELLS))
        state = np.zeros((sequence.shape[1], CELLS))
        memory = np.zeros_like(state)
        for number, gates in enumerate(driven):
            gates = gates + state @ self._from_state
            opened = _sigmoid(gates)
            candidate = np.tanh(gates[:, 2 * CELLS : 3 * CELLS])
            memory = opened[:, CELLS : 2 * CELLS] * memory + opened[:, :CELLS] * candidate
            state = opened[:, 3 * CELLS :] * np.tanh(memory)
            output[number] = state
        return output


def _sigmoid(values: Float64Array) -> Float64Array:
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def _tensor(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], path: Path) -> Float64Array:
    found = tensors.get(name)
    if found is None or found.shape != shape:
        raise EngineUnusable(f"{path} is not GE2E's weights: run 'voxrelay models pull ge2e'.")
    return found.astype(np.float64)


def _mel_filters() -> Float64Array:
    """Triangles of equal area on Slaney's scale (linear to 1 kHz, logarithmic above), shape (bins, channels)."""
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, SPECTRUM_SAMPLES // 2 + 1)
    top_mel = 15.0 + np.log(SAMPLE_RATE_HZ / 2 / 1000.0) / (np.log(6.4) / 27.0)
    mels = np.linspace(0.0, top_mel, CHANNELS + 2)
    corners_hz = np.where(mels >= 15.0, 1000.0 * np.exp((np.log(6.4) / 27.0) * (mels - 15.0)), mels * 200.0 / 3.0)
    filters = np.zeros((bins_hz.size, CHANNELS))
    for channel, ((low, middle), (_, high)) in enumerate(pairwise(pairwise(corners_hz))):
        rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
        filters[:, channel] = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return filters
