"""DeepFilterNet3 on ONNX Runtime: https://github.com/Rikorose/DeepFilterNet, MIT or Apache-2.0.

Method: H. Schröter et al., "DeepFilterNet: perceptually motivated real-time speech enhancement", Interspeech 2023. What its makers publish as ONNX
are three graphs without the transforms around them and without the state between frames; the package ``deepfilternet`` asks for NumPy 1 and a part
of torchaudio that is gone. Here runs the streaming form that takes a frame and all its states and gives them back: https://github.com/wuxuedaifu/deepfilter-stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from services.denoise.engine import HOP_SAMPLES, Passage, State
from services.denoise.engines.limiting import limited, open_limit
from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.engines import EngineUnusable
from voxrelay.events import Engine
from voxrelay.onnx import OnnxModel, notes
from voxrelay.resampling import StreamResampler

GRAPH, STATES = "denoiser_model.onnx", "initial_states.npz"
RATE_HZ = 48_000
LONGEST_FRAME = 512  # at 48 kHz
NETWORK_FRAMES = 3  # of delay: one of overlapping windows, two that the network looks ahead
DELAY_SAMPLES = 6 * HOP_SAMPLES  # 32 ms of the network, 10.7 until a frame is full, 3.5 for both changes of rate, in whole hops
HINT = "run 'voxrelay models pull deepfilternet3'"


class DeepFilterNetSuppressor:
    """Frames of 10.7 ms at 48 kHz, 48 ms delay. The graph takes one frame at a time: sessions come one after the other."""

    delay_samples = DELAY_SAMPLES

    def __init__(self, weights: Path, model_digest: str = "", **runtime: Any) -> None:
        """``weights`` is a folder with the graph and ``initial_states.npz``. Raises ``EngineUnusable`` for others or none."""
        try:
            with np.load(weights / STATES, allow_pickle=False) as saved:
                begin = {f"network_{name}": saved[name].astype(np.float32) for name in saved.files}
        except (OSError, ValueError, BadZipFile) as error:
            raise EngineUnusable(f"{weights / STATES} cannot be read as the states a session begins with: {HINT}.") from error
        names = [name.removeprefix("network_") for name in begin]
        self._model = OnnxModel(weights / GRAPH, inputs=("input_frame", *names), hint=HINT, **runtime)
        self._order = [name for name in self._model.input_shapes if name != "input_frame"]  # as they come out
        self._begin, frame = begin, self._model.input_shapes["input_frame"]
        if len(frame) != 1 or not isinstance(frame[0], int) or not 0 < frame[0] <= LONGEST_FRAME:
            raise EngineUnusable(f"{weights / GRAPH} takes frames of another shape than was expected: {HINT}.")
        self._frame = frame[0]
        self.engine = Engine("deepfilternet", "3", model_digest)

    def open(self) -> State:
        up, down = StreamResampler(SAMPLE_RATE_HZ, RATE_HZ).dump(), StreamResampler(RATE_HZ, SAMPLE_RATE_HZ).dump()
        return {
            "up": up[0],
            "up_counters": np.asarray(up[1], dtype=np.int64),
            "down": down[0],
            "down_counters": np.asarray(down[1], dtype=np.int64),
            "waiting": np.zeros(0, dtype=np.float32),  # less than a frame, at 48 kHz
            "ready": np.zeros(0, dtype=np.float32),  # output held back, so that the delay is the same after every hop
            "taken": np.zeros(1, dtype=np.int64),  # samples
            "made": np.zeros(1, dtype=np.int64),  # samples, with those of the network's delay
            **{name: values.copy() for name, values in self._begin.items()},
            **open_limit(),
        }

    def process(self, work: Sequence[Passage]) -> list[Float32Array]:
        return [limited(passage, self._cleaned(passage)) for passage in work]

    def check(self) -> str | None:
        return notes(self._model)

    def _cleaned(self, passage: Passage) -> Float32Array:
        state, taken = passage.state, int(passage.state["taken"][0])
        heard = np.concatenate((state["waiting"], _resampled(state, "up", SAMPLE_RATE_HZ, RATE_HZ, passage.samples)))
        whole = heard.size // self._frame * self._frame
        frames = [self._step(state, heard[at : at + self._frame]) for at in range(0, whole, self._frame)]
        state["waiting"] = heard[whole:].copy()
        fresh = _resampled(state, "down", RATE_HZ, SAMPLE_RATE_HZ, np.concatenate((*frames, np.zeros(0, dtype=np.float32))))
        early = NETWORK_FRAMES * self._frame * SAMPLE_RATE_HZ // RATE_HZ - int(state["made"][0])  # what still comes before the first sample
        state["made"][0] += fresh.size
        made = np.concatenate((state["ready"], fresh[max(0, early) :]))
        due = max(0, taken + passage.samples.size - DELAY_SAMPLES) - max(0, taken - DELAY_SAMPLES)
        state["taken"][0] = taken + passage.samples.size
        state["ready"] = made[due:].copy()
        return made[:due]

    def _step(self, state: State, frame: Float32Array) -> Float32Array:
        """The frame three before this one, cleaned; moves the states on."""
        cleaned, *states = self._model.run({"input_frame": frame} | {name: state[f"network_{name}"] for name in self._order})
        state.update(zip((f"network_{name}" for name in self._order), states, strict=False))
        return cleaned.reshape(-1).astype(np.float32, copy=False)


def _resampled(state: State, which: str, from_hz: int, to_hz: int, samples: Float32Array) -> Float32Array:
    stream = StreamResampler(from_hz, to_hz)
    stream.load(state[which], [int(one) for one in state[f"{which}_counters"]])
    made = stream.push(samples)
    state[which], counters = stream.dump()
    state[which] = state[which].copy()
    state[f"{which}_counters"] = np.asarray(counters, dtype=np.int64)
    return made
