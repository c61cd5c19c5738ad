"""Variants of a small graph made in the test: they run, are near the original, and are registered as models of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from voxrelay.engines import EngineUnusable
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.quantization import quantize
from voxrelay.models.registry import ModelRegistry, PullFailed
from voxrelay.onnx import OnnxModel

GENERATOR = np.random.default_rng(1)
WEIGHTS = GENERATOR.standard_normal((64, 64)).astype(np.float32)


def graph() -> bytes:
    """One product of matrices: y = x W."""
    node = helper.make_node("MatMul", ["x", "W"], ["y"])
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("x", "y")]
    made = helper.make_graph([node], "product", shapes[:1], shapes[1:], [numpy_helper.from_array(WEIGHTS, "W")])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "net.onnx").write_bytes(graph())
    models = ModelRegistry(tmp_path / "models")
    entry = ModelEntry(
        "net", "denoise", "gtcrn", f"folder:{tmp_path / 'source'}", "CC-BY-4.0", "a product", licence_url="https://example.org/licence"
    )
    models.add(entry)
    return models


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.6), ("fp16", 0.05)])
def test_a_variant_is_near_the_original_and_a_model_of_its_own(registry: ModelRegistry, precision: str, tolerance: float) -> None:
    made = quantize(registry, "net", precision)  # type: ignore[arg-type]
    original = registry.entry("net")
    assert (made.name, made.task, made.engine, made.licence, made.licence_url) == (
        f"net-{precision}",
        "denoise",
        "gtcrn",
        "CC-BY-4.0",
        original.licence_url,
    )
    assert made.digest != original.digest
    assert made.size_bytes < original.size_bytes
    assert registry.entry(made.name) == made
    assert registry.verify(made.name)
    x = GENERATOR.standard_normal((1, 64)).astype(np.float32)
    (answer,) = OnnxModel(registry.path(made.name), inputs=("x",), hint="").run({"x": x})
    assert answer.dtype == np.float32
    assert np.abs(answer - x @ WEIGHTS).max() < tolerance


def test_a_variant_that_was_tampered_with_is_not_used_and_says_how_to_make_it_again(registry: ModelRegistry) -> None:
    made = quantize(registry, "net", "int8")
    path = registry.path(made.name)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(EngineUnusable, match="not what the catalogue names"):
        registry.path(made.name)
    with pytest.raises(PullFailed, match="voxrelay models quantize net --to int8"):
        registry.pull(made.name)


def test_what_is_no_graph_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="'ge2e' is no ONNX model"):
        quantize(registry, "ge2e", "int8")
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    registry.add(ModelEntry("broken", "denoise", "gtcrn", f"folder:{tmp_path / 'broken.onnx'}", "MIT", ""))
    with pytest.raises(EngineUnusable, match=r"broken\.onnx cannot be made int8"):
        quantize(registry, "broken", "int8")
    assert all(one.name != "broken-int8" for one in registry.entries())


def test_a_graph_that_int8_changes_nothing_of_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("x", "y")]
    made = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", shapes[:1], shapes[1:])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(tmp_path / "relu.onnx"))
    registry.add(ModelEntry("relu", "denoise", "gtcrn", f"folder:{tmp_path / 'relu.onnx'}", "MIT", ""))
    with pytest.raises(EngineUnusable, match="nothing that int8 is done for"):
        quantize(registry, "relu", "int8")


def test_a_model_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="voxrelay models pull gtcrn"):
        quantize(ModelRegistry(tmp_path), "gtcrn", "fp16")


def test_a_model_of_another_engine_is_refused_where_it_is_loaded(registry: ModelRegistry) -> None:
    assert registry.weights("net", "gtcrn")[1] == registry.digest("net")
    with pytest.raises(EngineUnusable, match="'net' is a model of the engine 'gtcrn', and the settings name 'dtln'"):
        registry.weights("net", "dtln")


def test_the_graph_of_this_test_is_a_graph() -> None:
    onnx.checker.check_model(onnx.load_from_string(graph()))
