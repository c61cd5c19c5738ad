"""Small models for the classifiers: a graph that listens to loudness and brightness, and random weights in SpeechBrain's real classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

LABELS = "angry,happy,neutral,sad"


def build_tiny_classifier(path: Path, labels: int = 4) -> Path:
    """A graph from ``input_values`` (rows, samples) to scores (rows, labels)."""
    onnx = pytest.importorskip("onnx", reason="onnx, which makes the small graphs, is not installed")
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    values = {
        "from": np.int64([1]),
        "to": np.int64([1 << 40]),
        "until": np.int64([-1]),
        "zero": np.int64([0]),
        "axis": np.int64([1]),
        "weight": random.standard_normal((2, labels)).astype(np.float32),
        "bias": random.standard_normal(labels).astype(np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Slice", ["input_values", "from", "to", "axis"], ["later"]),
        node("Slice", ["input_values", "zero", "until", "axis"], ["earlier"]),
        node("Sub", ["later", "earlier"], ["change"]),
        node("ReduceL1", ["change"], ["bright"], axes=[1], keepdims=1),
        node("ReduceL1", ["input_values"], ["loud"], axes=[1], keepdims=1),
        node("Concat", ["loud", "bright"], ["sums"], axis=1),
        node("Log", ["sums_and_one"], ["features"]),
        node("MatMul", ["features", "weight"], ["weighed"]),
        node("Add", ["weighed", "bias"], ["logits"]),
    ]
    nodes.insert(6, node("Add", ["sums", "one"], ["sums_and_one"]))
    values["one"] = np.float32([1.0])
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("input_values", TensorProto.FLOAT, ["rows", "samples"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", labels])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def build_random_ecapa(folder: Path, classifier: str = "classifier.ckpt") -> Path:
    """``embedding_model.safetensors``, as one converts it, and the classifier of four labels, so or as SpeechBrain writes it."""
    pytest.importorskip("speechbrain", reason="SpeechBrain is not installed: make test-engines")
    import torch
    from safetensors.torch import save_file
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier

    torch.manual_seed(0)
    network = ECAPA_TDNN(80, channels=[64, 64, 64, 64, 192], attention_channels=16, lin_neurons=192)
    save_file(network.state_dict(), folder / "embedding_model.safetensors")
    decide = Classifier(192, out_neurons=4).state_dict()
    (save_file if classifier.endswith(".safetensors") else torch.save)(decide, folder / classifier)
    return folder
