"""GTCRN on ONNX Runtime: https://github.com/Xiaobin-Rong/gtcrn, MIT.

Method: X. Rong et al., "GTCRN: a speech enhancement model requiring ultralow computational resources", ICASSP 2024. A convolutional
recurrent network over spectra of 32 ms, in a form that takes one spectrum at a time and its caches with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.denoise.engine import NO_SAMPLES, Passage, State
from services.denoise.engines.limiting import DELAY_SAMPLES, limited, open_limit
from voxrelay.audio import Float32Array
from voxrelay.events import Engine
from voxrelay.onnx import OnnxModel, notes

WINDOW_SAMPLES = 512
STEP_SAMPLES = 256
BINS = WINDOW_SAMPLES // 2 + 1
CACHES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}
HINT = "run 'voxrelay models pull gtcrn'"

_WINDOW: Float32Array = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)).astype(np.float32)


class GtcrnSuppressor:
    """32 ms windows every 16 ms, two hops at once; 24 ms delay. The graph takes one window at a time: sessions come one after the other."""

    delay_samples = DELAY_SAMPLES

    def __init__(self, weights: Path, model_digest: str = "", **runtime: Any) -> None:
        """``weights`` is ``gtcrn_simple.onnx``. Raises ``EngineUnusable`` for another file or none."""
        self._model = OnnxModel(weights, inputs=("mix", *CACHES), hint=HINT, **runtime)
        self.engine = Engine("gtcrn", "1", model_digest)

    def open(self) -> State:
        caches: State = {name: np.zeros(shape, dtype=np.float32) for name, shape in CACHES.items()}
        return {
            "history": np.zeros(WINDOW_SAMPLES - STEP_SAMPLES, dtype=np.float32),  # the input before the next step
            "waiting": NO_SAMPLES,  # a hop that is half a step
            "overlap": np.zeros(STEP_SAMPLES, dtype=np.float32),  # output that the next window still adds to
            "ready": NO_SAMPLES,  # output held back, so that the delay is the same after every hop
            "taken": np.zeros(1, dtype=np.int64),  # samples
            **caches,
            **open_limit(),
        }

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        return [limited(passage, self._cleaned(passage)) for passage in work]

    def check(self) -> str | None:
        return notes(self._model)

    def _cleaned(self, passage: Passage) -> Float32Array:
        state, taken = passage.state, int(passage.state["taken"][0])
        heard = np.concatenate((state["history"], state["waiting"], passage.samples))
        whole = (heard.size - STEP_SAMPLES) // STEP_SAMPLES * STEP_SAMPLES
        pieces = [state["ready"]]
        for at in range(0, whole, STEP_SAMPLES):
            pieces.append(self._step(state, heard[at : at + WINDOW_SAMPLES]))
        state["history"], state["waiting"] = heard[whole : whole + STEP_SAMPLES].copy(), heard[whole + STEP_SAMPLES :].copy()
        state["taken"][0] = taken + passage.samples.size
        made = np.concatenate(pieces)
        if taken < STEP_SAMPLES <= taken + passage.samples.size:
            made = made[STEP_SAMPLES:]  # the first window's first half lies before the session's start
        due = max(0, taken + passage.samples.size - DELAY_SAMPLES) - max(0, taken - DELAY_SAMPLES)
        state["ready"] = made[due:].copy()
        return made[:due]

    def _step(self, state: State, window: Float32Array) -> Float32Array:
        """256 samples that are finished, of a window of 512; moves the caches on."""
        spectrum = np.fft.rfft(window * _WINDOW)
        mix = np.stack((spectrum.real, spectrum.imag), axis=-1).astype(np.float32, copy=False).reshape(1, BINS, 1, 2)
        answer, *caches = self._model.run({"mix": mix} | {name: state[name] for name in CACHES})
        state.update(zip(CACHES, caches, strict=True))
        cleaned = np.fft.irfft(answer[0, :, 0, 0] + 1j * answer[0, :, 0, 1], WINDOW_SAMPLES).astype(np.float32, copy=False) * _WINDOW
        finished: Float32Array = state["overlap"] + cleaned[:STEP_SAMPLES]
        state["overlap"] = cleaned[STEP_SAMPLES:].copy()
        return finished
