"""A voice with the inputs, the output and the description of Piper's: a hum for each phoneme, lower or higher, longer or shorter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SAMPLES_A_SYMBOL = 300
SYMBOLS = "_^$ !'(),-.:;?abcdefghijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔɕɖɗəɚɛɜɡɣɪɫɬɹɾʁʃʊʌʒˈˌːθ"


def build_tiny_piper(folder: Path, speakers: tuple[str, ...] = ()) -> Path:
    """Writes ``tiny.onnx`` and ``tiny.onnx.json`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "audio": {"sample_rate": 16_000},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(SYMBOLS)},
        "language": {"code": "en_US"},
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {name: number for number, name in enumerate(speakers)},
    }
    (folder / "tiny.onnx.json").write_text(json.dumps(facts))
    node = helper.make_node
    nodes = [
        node("Cast", ["input"], ["pitches"], to=TensorProto.FLOAT),
        node("Slice", ["scales", "one", "two"], ["length"]),
        node("Mul", ["length", "samples"], ["each"]),
        node("Cast", ["each"], ["each_whole"], to=TensorProto.INT64),
        node("Concat", ["ones", "each_whole"], ["wide"], axis=0),
        node("Unsqueeze", ["pitches", "two"], ["columns"]),
        node("Expand", ["columns", "wide"], ["held"]),
        node("Reshape", ["held", "flat"], ["line"]),
        node("Mul", ["line", "step"], ["steps"]),
        node("CumSum", ["steps", "last"], ["phases"]),
        *([node("Cast", ["sid"], ["speaker"], to=TensorProto.FLOAT), node("Add", ["phases", "speaker"], ["turned"])] if speakers else []),
        node("Sin", ["turned" if speakers else "phases"], ["sounding"]),
        node("Mul", ["sounding", "half"], ["output"]),
    ]
    values = {
        "one": np.int64([1]),
        "two": np.int64([2]),
        "ones": np.int64([1, 1]),
        "flat": np.int64([1, 1, 1, -1]),
        "last": np.int64(3),
        "samples": np.float32([SAMPLES_A_SYMBOL]),
        "step": np.float32(0.004),
        "half": np.float32(0.5),
    }
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    whole, single = TensorProto.INT64, TensorProto.FLOAT
    given = [("input", whole, [1, "n"]), ("input_lengths", whole, [1]), ("scales", single, [3]), *([("sid", whole, [1])] if speakers else [])]
    graph = helper.make_graph(
        nodes,
        "voice",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in given],
        [helper.make_tensor_value_info("output", single, [1, 1, 1, "samples"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "tiny.onnx"))
    return folder
