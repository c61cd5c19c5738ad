"""DTLN on ONNX Runtime: https://github.com/breizhn/DTLN, MIT.

Method: N. L. Westhausen, B. T. Meyer, "Dual-signal transformation LSTM network for real-time noise suppression", Interspeech 2020. One
network masks the magnitudes of a block's spectrum, a second masks features it learnt of the block itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.denoise.engine import HOP_SAMPLES, NO_SAMPLES, Passage, State
from services.denoise.engines.limiting import DELAY_HOPS, DELAY_SAMPLES, limited, open_limit
from voxrelay.audio import Float32Array
from voxrelay.events import Engine
from voxrelay.onnx import OnnxModel, notes

BLOCK_SAMPLES = 512
BINS = BLOCK_SAMPLES // 2 + 1
OVERLAP_SAMPLES = BLOCK_SAMPLES - HOP_SAMPLES
RECURRENT_SHAPE = (1, 2, 128, 2)
HINT = "run 'voxrelay models pull dtln'"


class DtlnSuppressor:
    """32 ms blocks every 8 ms, 24 ms delay. The graphs take one block at a time, so sessions come one after the other."""

    delay_samples = DELAY_SAMPLES

    def __init__(self, weights: Path, model_digest: str = "", **runtime: Any) -> None:
        """``weights`` is the folder with ``model_1.onnx`` and ``model_2.onnx``. Raises ``EngineUnusable`` for others or none."""
        self._spectral = OnnxModel(weights / "model_1.onnx", inputs=("input_2", "input_3"), hint=HINT, **runtime)
        self._learnt = OnnxModel(weights / "model_2.onnx", inputs=("input_4", "input_5"), hint=HINT, **runtime)
        self.engine = Engine("dtln", "1", model_digest)

    def open(self) -> State:
        return {
            "history": np.zeros(OVERLAP_SAMPLES, dtype=np.float32),  # the input before the next hop
            "overlap": np.zeros(OVERLAP_SAMPLES, dtype=np.float32),  # output that later blocks still add to
            "spectral": np.zeros(RECURRENT_SHAPE, dtype=np.float32),
            "learnt": np.zeros(RECURRENT_SHAPE, dtype=np.float32),
            "hops": np.zeros(1, dtype=np.int64),
            **open_limit(),
        }

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        return [limited(passage, self._cleaned(passage)) for passage in work]

    def check(self) -> str | None:
        return notes(self._spectral, self._learnt)

    def _cleaned(self, passage: Passage) -> Float32Array:
        state, count = passage.state, passage.samples.size // HOP_SAMPLES
        if count == 0:
            return NO_SAMPLES
        heard = np.concatenate((state["history"], passage.samples))
        state["history"] = heard[-OVERLAP_SAMPLES:].copy()
        total = np.zeros(OVERLAP_SAMPLES + count * HOP_SAMPLES, dtype=np.float32)
        total[:OVERLAP_SAMPLES] = state["overlap"]
        for at in range(0, count * HOP_SAMPLES, HOP_SAMPLES):
            total[at : at + BLOCK_SAMPLES] += self._block(state, heard[at : at + BLOCK_SAMPLES])
        state["overlap"] = total[count * HOP_SAMPLES :].copy()
        before_start = min(count, max(0, DELAY_HOPS - int(state["hops"][0])))
        state["hops"][0] += count
        return total[before_start * HOP_SAMPLES : count * HOP_SAMPLES]

    def _block(self, state: State, block: Float32Array) -> Float32Array:
        """What the networks make of 512 samples, shape (512,); moves their states on."""
        spectrum = np.fft.rfft(block).astype(np.complex64, copy=False)
        magnitudes = np.abs(spectrum).astype(np.float32, copy=False).reshape(1, 1, BINS)
        mask, state["spectral"] = self._spectral.run({"input_2": magnitudes, "input_3": state["spectral"]})
        masked = np.fft.irfft(spectrum * mask[0, 0], BLOCK_SAMPLES).astype(np.float32, copy=False).reshape(1, 1, BLOCK_SAMPLES)
        cleaned, state["learnt"] = self._learnt.run({"input_4": masked, "input_5": state["learnt"]})
        return cleaned.reshape(-1)
