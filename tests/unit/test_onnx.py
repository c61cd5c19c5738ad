"""What a model on ONNX Runtime says of itself, with real weights and, where there is none of it, a provider that is missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from voxrelay.engines import EngineUnusable
from voxrelay.onnx import NAMES, OnnxModel, notes

HINT = "run 'voxrelay models pull gtcrn'"
INPUTS = ("mix", "conv_cache", "tra_cache", "inter_cache")


def _model(model_files: Path, provider: str) -> OnnxModel:
    return OnnxModel(model_files / "gtcrn" / "gtcrn_simple.onnx", inputs=INPUTS, hint=HINT, provider=provider)


def test_what_was_asked_for_and_is_used_needs_no_word(model_files: Path) -> None:
    model = _model(model_files, "cpu")
    assert (model.note, notes(model)) == ("", None)
    assert model.input_shapes["mix"] == (1, 257, 1, 2)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
@pytest.mark.parametrize(("provider", "name"), [("cuda", "CUDA"), ("tensorrt", "TensorRT")])
def test_a_fallback_is_said_in_the_log_and_to_ready(model_files: Path, provider: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = _model(model_files, provider)
    said = f"runs on the CPU, for VOXRELAY_ONNX_PROVIDER asks for {name} and this ONNX Runtime has none of it"
    assert (notes(model) or "").startswith(said)
    (record,) = [record for record in caplog.records if record.name == "voxrelay.onnx"]
    assert record.getMessage() == "A model runs on something else than was set."
    assert record.__dict__["fields"]["reason"] == model.note


def test_a_missing_file_and_another_model_are_refused_in_a_sentence(model_files: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="cannot be read as an ONNX model: run 'voxrelay models pull gtcrn'"):
        OnnxModel(tmp_path / "missing.onnx", inputs=INPUTS, hint=HINT)
    with pytest.raises(EngineUnusable, match="another model than was expected"):
        OnnxModel(model_files / "dnsmos" / "model_v8.onnx", inputs=INPUTS, hint=HINT)


@pytest.mark.parametrize("memory_mb", [0, 512])
def test_a_model_gets_its_part_of_a_gpus_memory(model_files: Path, memory_mb: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ONNX Runtime is told; there is no GPU to hold it to that."""
    given: list[Any] = []
    real = onnxruntime.InferenceSession

    def recorded(path: str, options: Any, providers: list[Any]) -> Any:
        given.extend(providers)
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(NAMES))
    monkeypatch.setattr(onnxruntime, "InferenceSession", recorded)
    OnnxModel(model_files / "gtcrn" / "gtcrn_simple.onnx", inputs=INPUTS, hint=HINT, provider="tensorrt", gpu_memory_mb=memory_mb)
    most = str(512 * 1024 * 1024)
    assert dict(given) == {
        "TensorrtExecutionProvider": {"trt_max_workspace_size": most} if memory_mb else {},
        "CUDAExecutionProvider": {"gpu_mem_limit": most, "arena_extend_strategy": "kSameAsRequested"} if memory_mb else {},
        "CPUExecutionProvider": {},
    }
