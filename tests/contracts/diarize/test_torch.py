"""What the adapters on PyTorch owe beyond the suite: no telemetry, nothing that a checkpoint names is run, and no silent fallback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from services.diarize.engine import ENGINES
from tests.contracts.diarize import tiny_torch
from voxrelay.engines import EngineUnusable, load

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-engines")


class Hostile:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pyannote", "speechbrain"])
def test_a_checkpoint_runs_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip({"pyannote": "pyannote.audio"}.get(name, name))
    torch.save({"state_dict": Hostile(tmp_path / "ran")}, tmp_path / "weights.bin")
    with pytest.raises(EngineUnusable, match="without running what it names"):
        load("diarize", ENGINES, name, weights=tmp_path / "weights.bin")
    assert not (tmp_path / "ran").exists()
    torch.save({"state_dict": {"something": torch.zeros(3)}}, tmp_path / "weights.bin")
    with pytest.raises(EngineUnusable, match="another model"):
        load("diarize", ENGINES, name, weights=tmp_path / "weights.bin")


def test_pyannote_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    tiny_torch.wespeaker(tmp_path)
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "0"
    from pyannote.audio.telemetry.metrics import is_metrics_enabled

    assert is_metrics_enabled() is False


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    tiny_torch.ecapa(tmp_path)
    embedder = load("diarize", ENGINES, "speechbrain", weights=tmp_path / "embedding_model.ckpt", provider="cuda", **tiny_torch.SIZES)
    assert "asks for CUDA and PyTorch finds no device" in embedder.check()
