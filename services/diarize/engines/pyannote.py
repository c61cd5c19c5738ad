"""The speaker embedding of pyannote.audio 4 (MIT): WeSpeaker's ResNet34: https://huggingface.co/pyannote/wespeaker-voxceleb-resnet34-LM.

Method: H. Wang et al., "Wespeaker: a research and production oriented speaker embedding learning toolkit", ICASSP 2023. pyannote.audio reports
its use to its makers unless told not to; here it is, before it is imported. Its own loader unpickles whatever a checkpoint holds, and is not used.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"

import numpy as np  # after the telemetry is off
import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.events import Engine
from voxrelay.torch_checkpoints import device_for, prepared, read_checkpoint, rows_through

WINDOW_S = 1.5
PLAIN = (Specifications, Problem, Resolution, torch.torch_version.TorchVersion)  # what checkpoints of pyannote hold beside tensors: data alone


class WeSpeakerEmbedder:
    """1.5 s windows. One by one on a CPU, where the bits of a row would depend on how many there are; in batches on a GPU."""

    window_samples = int(WINDOW_S * SAMPLE_RATE_HZ)
    step_samples = window_samples // 2
    dimensions = 256

    def __init__(self, weights: Path, model_digest: str = "", provider: str = "cpu", threads: int = 1, batch: int = 32) -> None:
        """``weights`` is ``pytorch_model.bin``. Raises ``EngineUnusable`` for weights that do not fit."""
        torch.set_num_threads(threads)
        self._device, self._note = device_for(provider)
        tensors = read_checkpoint(weights, "state_dict", PLAIN)
        self._network = prepared(WeSpeakerResNet34(), tensors, weights, self._device)
        self._through = rows_through(self._directions, self.dimensions, batch if self._device != "cpu" else 1)
        self.engine = Engine("pyannote", version("pyannote.audio"), model_digest)

    def embed(self, windows: Float32Array) -> Float32Array:
        return self._through(windows)

    def check(self) -> str | None:
        return self._note or None

    def _directions(self, windows: Float32Array) -> Float32Array:
        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(windows[:, None]).to(self._device)).cpu().numpy(), dtype=np.float32)
