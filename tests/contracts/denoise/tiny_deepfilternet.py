"""A graph with DeepFilterNet3's frame, delay and explicit states: a gate that opens the more, the louder it has been of late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

FRAME = 512


def build_tiny_deepfilternet(folder: Path) -> Path:
    """Writes the graph and the states a session begins with into the folder."""
    onnx = pytest.importorskip("onnx", reason="onnx, which makes the small graphs, is not installed")
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True, exist_ok=True)
    node = helper.make_node
    nodes = [
        node("Slice", ["past", "start", "one_frame"], ["oldest"]),
        node("Slice", ["past", "one_frame", "three_frames"], ["younger"]),
        node("Concat", ["younger", "input_frame"], ["new_past"], axis=0),
        node("ReduceMean", ["magnitudes"], ["loud"], keepdims=1),
        node("Mul", ["level", "slow"], ["kept"]),
        node("Mul", ["loud", "fast"], ["added"]),
        node("Add", ["kept", "added"], ["new_level"]),
        node("Add", ["new_level", "floor"], ["below"]),
        node("Div", ["new_level", "below"], ["gain"]),
        node("Mul", ["oldest", "gain"], ["enhanced_audio_frame"]),
    ]
    nodes.insert(3, node("Abs", ["input_frame"], ["magnitudes"]))
    values = {
        "start": np.int64([0]),
        "one_frame": np.int64([FRAME]),
        "three_frames": np.int64([3 * FRAME]),
        "slow": np.float32(0.9),
        "fast": np.float32(0.1),
        "floor": np.float32(1e-4),
    }
    single = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "denoiser",
        [helper.make_tensor_value_info(name, single, shape) for name, shape in (("input_frame", [FRAME]), ("past", [3 * FRAME]), ("level", [1]))],
        [
            helper.make_tensor_value_info(name, single, shape)
            for name, shape in (("enhanced_audio_frame", [FRAME]), ("new_past", [3 * FRAME]), ("new_level", [1]))
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "denoiser_model.onnx"))
    np.savez(folder / "initial_states.npz", level=np.float32([0.01]), past=np.zeros(3 * FRAME, dtype=np.float32))
    return folder
