"""Names of engines and models become the settings that a deployment would have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.systems import session_options, system, unprocessed
from voxrelay.engines import EngineUnusable
from voxrelay.models.catalogue import CATALOGUE, ModelFile
from voxrelay.models.registry import ModelRegistry, sha256_of


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    monkeypatch.setenv("VOXRELAY_MODELS", str(tmp_path / "models"))
    return ModelRegistry(tmp_path / "models")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gtcrn", {"VOXRELAY_DENOISE_ENGINE": "gtcrn"}),
        ("silero", {"VOXRELAY_DENOISE_DETECTOR": "silero"}),
        ("dsp", {"VOXRELAY_CLASSIFY_ACOUSTIC_ENGINE": "dsp"}),
        ("silero-vad", {"VOXRELAY_DENOISE_DETECTOR": "silero", "VOXRELAY_DENOISE_DETECTOR_MODEL": "silero-vad"}),
        ("dtln+pocketsphinx", {"VOXRELAY_DENOISE_ENGINE": "dtln", "VOXRELAY_TRANSCRIBE_ENGINE": "pocketsphinx"}),
        ("faster-whisper-small", {"VOXRELAY_TRANSCRIBE_ENGINE": "faster-whisper", "VOXRELAY_TRANSCRIBE_MODEL": "faster-whisper-small"}),
    ],
)
def test_a_name_is_an_engine_or_a_model(registry: ModelRegistry, name: str, settings: dict[str, str]) -> None:
    assert dict(system(name, {}).settings) == settings


def test_a_model_that_was_added_is_found(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "gtcrn_simple.onnx").write_bytes(b"a graph")
    known = next(entry for entry in CATALOGUE if entry.name == "gtcrn")
    files = (ModelFile("gtcrn_simple.onnx", sha256_of(tmp_path / "gtcrn_simple.onnx"), 7),)
    registry.add_made(replace(known, name="mine", files=files, source="made:here"), tmp_path)
    assert system("mine", {}).settings == {"VOXRELAY_DENOISE_ENGINE": "gtcrn", "VOXRELAY_DENOISE_MODEL": "mine"}
    assert unprocessed({"noise_suppression": 0.0}, system("mine", {})).settings == {"VOXRELAY_DENOISE_ENGINE": "passthrough"}


def test_names_nobody_knows_are_refused(registry: ModelRegistry) -> None:
    with pytest.raises(EngineUnusable, match="no engine or model 'nothing'"):
        system("nothing", {})
    with pytest.raises(EngineUnusable, match="no service can be told"):
        system("dnsmos", {})


def test_settings_are_in_force_for_the_time_and_as_before_afterwards(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXRELAY_DENOISE_ENGINE", "gtcrn")
    monkeypatch.delenv("VOXRELAY_TRANSCRIBE_ENGINE", raising=False)
    with system("dtln+pocketsphinx", {}).in_force():
        assert (os.environ["VOXRELAY_DENOISE_ENGINE"], os.environ["VOXRELAY_TRANSCRIBE_ENGINE"]) == ("dtln", "pocketsphinx")
    assert os.environ["VOXRELAY_DENOISE_ENGINE"] == "gtcrn"
    assert "VOXRELAY_TRANSCRIBE_ENGINE" not in os.environ


def test_what_a_session_asks_for_has_the_right_kind() -> None:
    assert session_options(["noise_suppression=1", "num_speakers=2", "vad_enabled=false", "language=de"]) == {
        "noise_suppression": 1.0,
        "num_speakers": 2,
        "vad_enabled": False,
        "language": "de",
    }
    for wrong in ("noise_suppression", "sample_rate_hz=8000", "loudness=3", "num_speakers=many"):
        with pytest.raises(EngineUnusable):
            session_options([wrong])
