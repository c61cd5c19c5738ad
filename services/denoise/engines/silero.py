"""Silero VAD on ONNX Runtime: https://github.com/snakers4/silero-vad, MIT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.denoise.engine import FRAME_SAMPLES, State
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.events import Engine
from voxrelay.onnx import OnnxModel, notes

CONTEXT_SAMPLES = 64  # the model looks at the end of the frame before, too
STATE_SHAPE = (2, 128)


class SileroDetector:
    """The batched 16 kHz graph (``silero_vad_16k_op15.onnx``): one call a frame for all sessions that have one due.

    ONNX Runtime's CPU kernels gave the same bits for a row in every batch size from 1 to 64; the contract tests hold it to that.
    """

    def __init__(self, weights: Path, model_digest: str = "", **runtime: Any) -> None:
        """Raises ``EngineUnusable`` for weights that cannot be read or are another model's."""
        hint = "run 'voxrelay models pull silero-vad'"
        self._model = OnnxModel(weights, inputs=("input", "state", "sr"), hint=hint, **runtime)
        self._rate = np.array(SAMPLE_RATE_HZ, dtype=np.int64)
        self.engine = Engine("silero", "6.2", model_digest)

    def check(self) -> str | None:
        return notes(self._model)

    def open(self) -> State:
        return {"recurrent": np.zeros(STATE_SHAPE, dtype=np.float32), "context": np.zeros(CONTEXT_SAMPLES, dtype=np.float32)}

    def process(self, work: Sequence[tuple[State, Float32Array]]) -> list[Float32Array]:
        order = sorted(range(len(work)), key=lambda index: -len(work[index][1]))  # longest first: those still due are the first rows
        probabilities = [np.zeros(len(frames), dtype=np.float32) for _, frames in work]
        due = [index for index in order if len(work[index][1])]
        if not due:
            return probabilities
        recurrent = np.stack([work[index][0]["recurrent"] for index in due], axis=1)  # (2, sessions, 128)
        context = np.stack([work[index][0]["context"] for index in due])
        rows = len(due)
        for number in range(len(work[due[0]][1])):
            while len(work[due[rows - 1]][1]) <= number:
                rows -= 1
            frames = np.stack([work[index][1][number] for index in due[:rows]])
            heard = np.concatenate((context[:rows], frames), axis=1)
            feed = {"input": heard, "state": np.ascontiguousarray(recurrent[:, :rows]), "sr": self._rate}
            spoken, recurrent[:, :rows] = self._model.run(feed)
            context[:rows] = frames[:, FRAME_SAMPLES - CONTEXT_SAMPLES :]
            for row, index in enumerate(due[:rows]):
                probabilities[index][number] = spoken[row, 0]
        for row, index in enumerate(due):
            work[index][0]["recurrent"], work[index][0]["context"] = recurrent[:, row].copy(), context[row].copy()
        return probabilities
