"""SpeechBrain's ECAPA-TDNN speaker embedding (Apache-2.0): https://huggingface.co/speechbrain/spkrec-ecapa-voxceleb.

Method: B. Desplanques et al., "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in TDNN based speaker verification",
Interspeech 2020. The network's classes are named here and only its weights are read: SpeechBrain's own way through ``hyperparams.yaml`` would
call whatever that file names.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization

from services.diarize.engines.torch_embedder import TorchEmbedder
from voxrelay.events import Engine
from voxrelay.torch_checkpoints import prepared, read_checkpoint


class EcapaEmbedder(TorchEmbedder):
    def __init__(
        self,
        weights: Path,
        model_digest: str = "",
        mels: int = 80,
        channels: int = 1024,
        attention: int = 128,
        neurons: int = 192,
        **shared: Any,
    ) -> None:
        """``weights`` is ``embedding_model``, ``.ckpt`` or ``.safetensors``; ``shared`` is of ``TorchEmbedder``.

        Raises ``EngineUnusable`` for weights that do not fit.
        """
        super().__init__(Engine("speechbrain", version("speechbrain"), model_digest), neurons, **shared)
        network = ECAPA_TDNN(mels, channels=[channels] * 4 + [3 * channels], attention_channels=attention, lin_neurons=neurons)
        self._network = prepared(network, read_checkpoint(weights), weights, self._device)
        self._features = Fbank(n_mels=mels).to(self._device)
        self._normalize = InputNormalization(norm_type="sentence", std_norm=False).to(self._device)

    def _network_of(self, windows: torch.Tensor) -> torch.Tensor:
        whole = torch.ones(len(windows), device=self._device)
        vectors: torch.Tensor = self._network(self._normalize(self._features(windows), whole), whole).squeeze(1)
        return vectors
