"""The speaker embedding of pyannote.audio 4 (MIT): WeSpeaker's ResNet34: https://huggingface.co/pyannote/wespeaker-voxceleb-resnet34-LM.

Method: H. Wang et al., "Wespeaker: a research and production oriented speaker embedding learning toolkit", ICASSP 2023. pyannote.audio reports
its use to its makers unless told not to; here it is, before it is imported. Its own loader unpickles whatever a checkpoint holds, and is not used.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"

import torch  # after the telemetry is off
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34

from services.diarize.engines.torch_embedder import TorchEmbedder
from voxrelay.events import Engine
from voxrelay.torch_checkpoints import prepared, read_checkpoint

PLAIN = (Specifications, Problem, Resolution, torch.torch_version.TorchVersion)  # what checkpoints of pyannote hold beside tensors: data alone
DIMENSIONS = 256


class WeSpeakerEmbedder(TorchEmbedder):
    def __init__(self, weights: Path, model_digest: str = "", **shared: Any) -> None:
        """``weights`` is ``pytorch_model.bin``; ``shared`` is of ``TorchEmbedder``. Raises ``EngineUnusable`` for weights that do not fit."""
        super().__init__(Engine("pyannote", version("pyannote.audio"), model_digest), DIMENSIONS, **shared)
        tensors = read_checkpoint(weights, "state_dict", PLAIN)
        self._network = prepared(WeSpeakerResNet34(), tensors, weights, self._device)

    def _network_of(self, windows: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._network(windows[:, None])
        return vectors
