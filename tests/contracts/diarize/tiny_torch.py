"""Random weights in the real classes of SpeechBrain and pyannote.audio, saved as their makers save them and loaded by the adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.diarize.engine import ENGINES, SpeakerEmbedder
from voxrelay.engines import load

SIZES = {"channels": 64, "attention": 16}


def ecapa(folder: Path) -> SpeakerEmbedder:
    pytest.importorskip("speechbrain", reason="SpeechBrain is not installed: make test-engines")
    import torch
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    torch.manual_seed(0)
    torch.save(ECAPA_TDNN(80, channels=[64, 64, 64, 64, 192], attention_channels=16, lin_neurons=192).state_dict(), folder / "embedding_model.ckpt")
    return _loaded("speechbrain", weights=folder / "embedding_model.ckpt", **SIZES)


def wespeaker(folder: Path) -> SpeakerEmbedder:
    pytest.importorskip("pyannote.audio", reason="pyannote.audio is not installed: make test-engines")
    import lightning
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34

    torch.manual_seed(0)
    network = WeSpeakerResNet34()
    network.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0, classes=None)
    saved: dict[str, Any] = {
        "state_dict": network.state_dict(),
        "hyper_parameters": dict(network.hparams),
        "pytorch-lightning_version": lightning.__version__,
        "epoch": 0,
        "global_step": 0,
    }
    network.on_save_checkpoint(saved)
    torch.save(saved, folder / "pytorch_model.bin")
    return _loaded("pyannote", weights=folder / "pytorch_model.bin")


def _loaded(name: str, **options: Any) -> SpeakerEmbedder:
    return load("diarize", ENGINES, name, model_digest="random", **options)  # type: ignore[no-any-return]
