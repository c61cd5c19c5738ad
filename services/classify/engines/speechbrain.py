"""SpeechBrain's ECAPA-TDNN classifiers (Apache-2.0): accent, language spoken, and others of that form: https://github.com/speechbrain/speechbrain.

Method: B. Desplanques et al., "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in TDNN based speaker verification",
Interspeech 2020. SpeechBrain reads a model's ``hyperparams.yaml``, which can name any function and have it called; here the classes are named,
their sizes are the entry's options, and of a model only the weights are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
from speechbrain.processing.features import InputNormalization

from services.classify.engines.learnt import LearntAttribute, softmax
from voxrelay.audio import Float32Array
from voxrelay.events import Attribute, Engine
from voxrelay.torch_checkpoints import device_for, prepared, read_checkpoint

EMBEDDING, CLASSIFIER = "embedding_model", "classifier"


class SpeechbrainClassifier:
    """An ``AcousticClassifier``. Windows go through one by one on a CPU, so that an answer does not depend on its company; in batches on a GPU."""

    def __init__(
        self,
        weights: Path,
        model_digest: str = "",
        attribute: str = "accent",
        labels: str = "",
        window_s: float = 4.0,
        mels: int = 80,
        channels: int = 1024,
        attention: int = 128,
        neurons: int = 192,
        batch: int = 8,
        provider: str = "cpu",
        threads: int = 1,
        gpu_memory_mb: int = 0,
    ) -> None:
        """``weights`` is a folder with ``embedding_model`` and ``classifier``, each ``.safetensors`` or ``.ckpt``.

        Raises ``EngineUnusable`` for weights that do not fit.
        """
        torch.set_num_threads(threads)
        self._device, self._note = device_for(provider, gpu_memory_mb)
        self._learnt = LearntAttribute(attribute, labels, window_s, batch if self._device != "cpu" else 1)
        sizes = [channels] * 4 + [3 * channels]
        network = ECAPA_TDNN(mels, channels=sizes, attention_channels=attention, lin_neurons=neurons)
        self._embed = _loaded(network, weights, EMBEDDING, self._device)
        decide = Classifier(neurons, out_neurons=len(self._learnt.labels))
        self._decide = _loaded(decide, weights, CLASSIFIER, self._device)
        self._features = Fbank(n_mels=mels).to(self._device)
        self._normalize = InputNormalization(norm_type="sentence", std_norm=False).to(self._device)
        self.names = self._learnt.names
        self.engine = Engine("speechbrain", f"{version('speechbrain')}.{attribute}", model_digest)

    def classify(self, utterances: Sequence[Float32Array]) -> list[tuple[Attribute, ...]]:
        return self._learnt.classify(utterances, self._score)

    def check(self) -> str | None:
        return self._note or None

    def _score(self, windows: Float32Array) -> Float32Array:
        with torch.inference_mode():
            heard = self._features(torch.from_numpy(windows).to(self._device))
            whole = torch.ones(len(windows), device=self._device)
            scores = self._decide(self._embed(self._normalize(heard, whole), whole)).squeeze(1)
        return softmax(scores.cpu().numpy() * 30.0)  # cosines: the scale they were trained with (additive angular margin)


def _loaded(network: torch.nn.Module, folder: Path, name: str, device: str) -> torch.nn.Module:
    safe = folder / f"{name}.safetensors"
    path = safe if safe.is_file() else folder / f"{name}.ckpt"
    return prepared(network, read_checkpoint(path), path, device)
