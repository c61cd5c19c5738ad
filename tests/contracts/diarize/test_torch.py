"""What the adapters on PyTorch owe beyond the suite: no telemetry, nothing that a checkpoint names is run, and no silent fallback."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
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


def test_safetensors_are_the_same_weights_and_nothing_else_passes_for_them(tmp_path: Path) -> None:
    from_checkpoint = tiny_torch.ecapa(tmp_path)
    from safetensors.torch import save_file

    safe = tmp_path / "embedding_model.safetensors"
    save_file(torch.load(tmp_path / "embedding_model.ckpt", weights_only=True), safe)
    from_safetensors = load("diarize", ENGINES, "speechbrain", weights=safe, **tiny_torch.SIZES)
    windows = np.random.default_rng(1).normal(size=(2, from_checkpoint.window_samples)).astype(np.float32) * 0.1
    assert np.array_equal(from_safetensors.embed(windows), from_checkpoint.embed(windows))
    torch.save({"state_dict": Hostile(tmp_path / "ran")}, safe)
    with pytest.raises(EngineUnusable, match="cannot be read as weights"):
        load("diarize", ENGINES, "speechbrain", weights=safe, **tiny_torch.SIZES)
    assert not (tmp_path / "ran").exists()
    save_file({"something": torch.zeros(3)}, safe)
    with pytest.raises(EngineUnusable, match="another model"):
        load("diarize", ENGINES, "speechbrain", weights=safe, **tiny_torch.SIZES)


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


def test_the_process_takes_its_part_of_the_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch is told; there may be no GPU to hold it to that."""
    from voxrelay.torch_checkpoints import device_for

    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(total_memory=8 << 30))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    assert device_for("cuda") == ("cuda", "")
    assert shares == []
    assert device_for("cuda", 2048) == ("cuda", "")
    assert device_for("cuda", 99_999) == ("cuda", "")
    assert shares == [0.25, 1.0]
