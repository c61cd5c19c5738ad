"""SpeechBrain's ECAPA-TDNN speaker embedding (Apache-2.0): https://huggingface.co/speechbrain/spkrec-ecapa-voxceleb.

Method: B. Desplanques et al., "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in TDNN based speaker verification",
Interspeech 2020. The network's classes are named here and only its weights are read: SpeechBrain's own way through ``hyperparams.yaml`` would
call whatever that file names.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array
from voxrelay.events import Engine
from voxrelay.torch_checkpoints import device_for, prepared, read_checkpoint, rows_through

WINDOW_S = 1.5


class EcapaEmbedder:
    """1.5 s windows. One by one on a CPU, where the bits of a row would depend on how many there are; in batches on a GPU."""

    window_samples = int(WINDOW_S * SAMPLE_RATE_HZ)
    step_samples = window_samples // 2

    def __init__(
        self,
        weights: Path,
        model_digest: str = "",
        mels: int = 80,
        channels: int = 1024,
        attention: int = 128,
        neurons: int = 192,
        provider: str = "cpu",
        threads: int = 1,
        batch: int = 32,
    ) -> None:
        """``weights`` is ``embedding_model.ckpt``. Raises ``EngineUnusable`` for weights that do not fit."""
        torch.set_num_threads(threads)
        self._device, self._note = device_for(provider)
        network = ECAPA_TDNN(mels, channels=[channels] * 4 + [3 * channels], attention_channels=attention, lin_neurons=neurons)
        self._network = prepared(network, read_checkpoint(weights), weights, self._device)
        self._features = Fbank(n_mels=mels).to(self._device)
        self._normalize = InputNormalization(norm_type="sentence", std_norm=False).to(self._device)
        self._through = rows_through(self._directions, neurons, batch if self._device != "cpu" else 1)
        self.dimensions = neurons
        self.engine = Engine("speechbrain", version("speechbrain"), model_digest)

    def embed(self, windows: Float32Array) -> Float32Array:
        return self._through(windows)

    def check(self) -> str | None:
        return self._note or None

    def _directions(self, windows: Float32Array) -> Float32Array:
        with torch.inference_mode():
            whole = torch.ones(len(windows), device=self._device)
            heard = self._normalize(self._features(torch.from_numpy(windows).to(self._device)), whole)
            return np.asarray(self._network(heard, whole).squeeze(1).cpu().numpy(), dtype=np.float32)
