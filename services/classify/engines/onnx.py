"""Classifiers as ONNX graphs: emotion, age, gender, accent or language, from any model that takes a waveform and gives each label a score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.classify.engines.learnt import LearntAttribute, softmax
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable
from voxrelay.events import Attribute, Engine
from voxrelay.onnx import OnnxModel, notes

HINT = "choose a classifier whose one input is a waveform of shape (rows, samples) at 16 kHz"


class OnnxClassifier:
    """An ``AcousticClassifier``; what it is made with besides the weights are the options of the model's entry in the registry."""

    def __init__(
        self,
        weights: Path,
        model_digest: str = "",
        attribute: str = "emotion",
        labels: str = "",
        input: str = "input_values",  # as the entry calls it
        window_s: float = 4.0,
        is_normalized: bool = True,
        is_probability: bool = False,
        batch: int = 8,
        **runtime: Any,
    ) -> None:
        """``input`` is the graph's; ``is_normalized``: it wants each window at mean 0 and variance 1; ``is_probability``: it ends in a softmax.

        Raises ``EngineUnusable`` for a graph or options that do not fit.
        """
        self._learnt = LearntAttribute(attribute, labels, window_s, batch)
        self._input, self._is_normalized, self._is_probability = input, is_normalized, is_probability
        self._model = OnnxModel(weights, inputs=(input,), hint=HINT, **runtime)
        given = self._score(np.zeros((1, int(window_s * 16_000)), dtype=np.float32)).shape
        if given != (1, len(self._learnt.labels)):
            raise EngineUnusable(f"{weights} gives scores of shape {given} for {len(self._learnt.labels)} labels: correct the model's labels.")
        self.names = self._learnt.names
        self.engine = Engine("onnx", attribute, model_digest)

    def classify(self, utterances: Sequence[Float32Array]) -> list[tuple[Attribute, ...]]:
        return self._learnt.classify(utterances, self._score)

    def check(self) -> str | None:
        return notes(self._model)

    def _score(self, windows: Float32Array) -> Float32Array:
        if self._is_normalized:
            windows = (windows - windows.mean(axis=1, keepdims=True)) / np.sqrt(windows.var(axis=1, keepdims=True) + 1e-7)
        scores = self._model.run({self._input: windows.astype(np.float32, copy=False)})[0].astype(np.float32, copy=False)
        return scores if self._is_probability else softmax(scores)
