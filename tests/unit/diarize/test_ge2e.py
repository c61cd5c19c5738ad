"""GE2E's arithmetic against the textbook, with made-up weights: it needs none that were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.diarize.engines.ge2e import CELLS, CHANNELS, DIMENSIONS, LAYERS, Ge2eEmbedder
from tests.legacy_torch import weights_file
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable

Weights = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    random = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (DIMENSIONS, CELLS), "linear.bias": (DIMENSIONS,)}
    for number in range(LAYERS):
        shapes[f"lstm.weight_ih_l{number}"] = (4 * CELLS, CHANNELS if number == 0 else CELLS)
        shapes[f"lstm.weight_hh_l{number}"] = (4 * CELLS, CELLS)
        shapes[f"lstm.bias_ih_l{number}"] = shapes[f"lstm.bias_hh_l{number}"] = (4 * CELLS,)
    return {name: (random.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def embedder(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Ge2eEmbedder:
    return Ge2eEmbedder(weights_file(tmp_path_factory.mktemp("weights") / "ge2e.pt", "model_state", weights))


def _windows(count: int) -> Float32Array:
    random = np.random.default_rng(count)
    times_s = np.arange(Ge2eEmbedder.window_samples) / 16_000
    tones = [sum(np.sin(2 * np.pi * pitch * n * times_s) / n for n in range(1, 20)) for pitch in random.uniform(80, 300, count)]
    return (0.05 * np.stack(tones) + 0.01 * random.standard_normal((count, times_s.size))).astype(np.float32)


def _logistic(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return 1 / (1 + np.exp(-values))


def _by_the_book(features: np.ndarray[Any, Any], weights: Weights) -> np.ndarray[Any, Any]:
    """torch.nn.LSTM as its documentation has it, in double precision, gate by gate."""
    sequence = list(features.astype(np.float64))
    for number in range(LAYERS):
        named = [weights[f"lstm.{kind}_l{number}"].astype(np.float64) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        of_input, of_state, bias, other_bias = named
        state, memory, output = np.zeros(CELLS), np.zeros(CELLS), []
        for frame in sequence:
            gates = of_input @ frame + bias + of_state @ state + other_bias
            admit, keep, candidate, show = np.split(gates, 4)
            memory = _logistic(keep) * memory + _logistic(admit) * np.tanh(candidate)
            state = _logistic(show) * np.tanh(memory)
            output.append(state)
        sequence = output
    direction = np.maximum(weights["linear.weight"].astype(np.float64) @ sequence[-1] + weights["linear.bias"], 0)
    return direction / np.linalg.norm(direction)


def test_it_computes_what_the_textbook_says(embedder: Ge2eEmbedder, weights: Weights) -> None:
    windows = _windows(4)
    for window, vector in zip(windows, embedder.embed(windows), strict=True):
        wanted = _by_the_book(embedder._features(window), weights)
        assert float(vector @ wanted) > 0.999


def test_mel_power_is_where_the_tone_is_and_grows_with_loudness(embedder: Ge2eEmbedder) -> None:
    times_s = np.arange(embedder.window_samples) / 16_000
    peaks = []
    for pitch_hz in (200.0, 1000.0, 4000.0):
        features = embedder._features((0.5 * np.sin(2 * np.pi * pitch_hz * times_s)).astype(np.float32))
        assert features.shape == (160, CHANNELS)
        peaks.append(int(features.mean(axis=0).argmax()))
    apart_mel = (15 + np.log(8) / (np.log(6.4) / 27)) / (CHANNELS + 1)  # Slaney's scale: 1000 Hz is 15 mel, 8000 Hz is 15 + 30.2
    tones_mel = [200 * 3 / 200, 15, 15 + np.log(4) / (np.log(6.4) / 27)]
    assert peaks == [round(mel / apart_mel) - 1 for mel in tones_mel]
    soft = embedder._features((1e-4 * np.sin(2 * np.pi * 1000 * times_s)).astype(np.float32))
    softer = embedder._features((5e-5 * np.sin(2 * np.pi * 1000 * times_s)).astype(np.float32))
    assert np.allclose(soft, softer, rtol=1e-2)  # what is soft is made as loud as the rest


@pytest.mark.parametrize("count", [2, 3, 4, 9, 16, 65])
def test_a_row_has_the_same_bits_in_any_company(embedder: Ge2eEmbedder, count: int) -> None:
    windows = _windows(count)
    together = embedder.embed(windows)
    order = np.random.default_rng(count).permutation(count)
    assert embedder.embed(windows[order]).tobytes() == together[order].tobytes()
    assert embedder.embed(windows[:1]).tobytes() == together[:1].tobytes()


def test_weights_of_another_model_are_refused(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "ge2e.pt"
    for wrong in ({**weights, "linear.bias": np.zeros(128, dtype=np.float32)}, {name: weights[name] for name in weights if "l2" not in name}):
        with pytest.raises(EngineUnusable, match="voxrelay models pull ge2e"):
            Ge2eEmbedder(weights_file(path, "model_state", wrong))
    with pytest.raises(EngineUnusable, match="voxrelay models pull ge2e"):
        Ge2eEmbedder(weights_file(path, "another_state", weights))
