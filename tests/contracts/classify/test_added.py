"""A classifier of one's own: as ``voxrelay models add`` takes it, with what the command is given as its options, in the service and activated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.classify.compose import acoustic_model, configured_acoustic
from services.classify.settings import ClassifySettings
from tests.contracts.classify.tiny_models import LABELS, build_random_ecapa, build_tiny_classifier
from voxrelay.cli import models as command
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings

NOISE = np.asarray(np.random.default_rng(3).normal(size=100_000) * 0.1, dtype=np.float32)


def _onnx(folder: Path) -> list[str]:
    return ["--source", f"folder:{build_tiny_classifier(folder / 'model.onnx')}", "--option", "attribute=emotion"]


def _speechbrain(folder: Path) -> list[str]:
    build_random_ecapa(folder, "classifier.safetensors")
    return ["--source", f"folder:{folder}", "--option", "attribute=accent", "--option", "channels=64", "--option", "attention=16"]


SOURCES: dict[str, Callable[[Path], list[str]]] = {"onnx": _onnx, "speechbrain": _speechbrain}


@pytest.mark.parametrize("engine", sorted(SOURCES))
def test_a_model_that_was_added_works_in_the_service_and_activated(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("VOXRELAY_MODELS", str(tmp_path / "models"))
    what = ["--task", "classify", "--engine", engine, "--licence", "Apache-2.0", "--option", f"labels={LABELS}"]
    added = CliRunner().invoke(command.app, ["add", "mine", *what, *SOURCES[engine](tmp_path / "mine")])
    assert added.exit_code == 0, added.output
    platform = PlatformSettings(models=tmp_path / "models")
    configured = configured_acoustic(platform, ClassifySettings(acoustic_engine=engine, model="mine"))
    activated = acoustic_model(platform, "mine")
    (answer,), (same,) = configured.classify([NOISE]), activated.classify([NOISE])
    assert answer == same
    attribute = "emotion" if engine == "onnx" else "accent"
    assert next(one.value for one in answer if one.name == attribute) in LABELS.split(",")
    assert configured.engine.model_digest == activated.engine.model_digest != ""


def test_an_engine_without_its_model_or_with_anothers_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXRELAY_MODELS", str(tmp_path / "models"))
    platform = PlatformSettings(models=tmp_path / "models")
    with pytest.raises(EngineUnusable, match="VOXRELAY_CLASSIFY_MODEL"):
        configured_acoustic(platform, ClassifySettings(acoustic_engine="onnx"))
    (tmp_path / "mine").mkdir()
    what = ["--task", "classify", "--engine", "onnx", "--licence", "MIT", "--option", f"labels={LABELS}"]
    assert CliRunner().invoke(command.app, ["add", "mine", *what, *_onnx(tmp_path / "mine")]).exit_code == 0
    with pytest.raises(EngineUnusable, match=r"'mine' .* 'onnx'"):
        configured_acoustic(platform, ClassifySettings(acoustic_engine="speechbrain", model="mine"))


def test_a_folder_with_a_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-engines")
    monkeypatch.setenv("VOXRELAY_MODELS", str(tmp_path / "models"))
    (tmp_path / "mine").mkdir()
    torch.save({"weight": torch.zeros(3)}, tmp_path / "mine" / "classifier.ckpt")
    what = ["--task", "classify", "--engine", "speechbrain", "--licence", "MIT", "--source", f"folder:{tmp_path / 'mine'}"]
    run = CliRunner().invoke(command.app, ["add", "mine", *what])
    assert run.exit_code != 0
    assert "safetensors" in str(run.exception)
