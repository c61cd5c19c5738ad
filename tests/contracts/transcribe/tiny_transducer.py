"""A streaming transducer of three small ONNX graphs, in the form of icefall's LSTM transducers: sherpa-onnx's real loading and decoding code runs it.

The encoder's state counts the frames in which somebody speaks (much power at low frequencies); every few of them are the next piece of a
word. So what it says depends on the sound, on what came before in the same stream, and on nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PIECES = ("\u2581one", "\u2581two", "\u2581three", "\u2581fo", "ur", "\u2581five", "\u2581six", "\u2581se", "ven")
SPECIAL = ("<blk>", "<sos/eos>", "<unk>")
CHUNK, SUBSAMPLING, MELS, VOICE_MELS = 16, 4, 80, 24
FRAMES_A_PIECE = 5
VOICE = -6.5  # mean logarithm of the power in the lowest mel channels, samples in [-1, 1]
TOKENS = len(SPECIAL) + len(PIECES)


def build_tiny_transducer(folder: Path) -> Path:
    """Writes encoder, decoder, joiner and tokens into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.txt").write_text("".join(f"{token} {number}\n" for number, token in enumerate((*SPECIAL, *PIECES))))
    _save(_encoder(), folder / "encoder.onnx", model_type="lstm", num_encoder_layers=1, T=CHUNK, decode_chunk_len=CHUNK, rnn_hidden_size=1, d_model=1)
    _save(_decoder(), folder / "decoder.onnx", vocab_size=TOKENS, context_size=2)
    _save(_joiner(), folder / "joiner.onnx", joiner_dim=TOKENS)
    return folder


def _save(graph: onnx.GraphProto, path: Path, **metadata: object) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=str(value))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _tensor(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _constants(**values: object) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def _encoder() -> onnx.GraphProto:
    """x (n, 16, 80) and the count so far (1, n, 1) to one row of scores for each four frames (n, 4, tokens), and the count after them."""
    node = helper.make_node
    nodes = [
        node("Slice", ["x", "from", "to", "channels"], ["low"]),
        node("Reshape", ["low", "fours"], ["grouped"]),
        node("ReduceMean", ["grouped"], ["power"], axes=[2], keepdims=0),
        node("Greater", ["power", "voice"], ["is_spoken"]),
        node("Cast", ["is_spoken"], ["spoken"], to=TensorProto.FLOAT),
        node("CumSum", ["spoken", "along"], ["fresh"]),
        node("Squeeze", ["state0", "first"], ["before"]),
        node("Add", ["fresh", "before"], ["counted"]),
        node("Div", ["counted", "frames_a_piece"], ["pieces"]),
        node("Floor", ["pieces"], ["whole"]),
        node("Equal", ["pieces", "whole"], ["is_whole"]),
        node("And", ["is_whole", "is_spoken"], ["is_due"]),
        node("Add", ["whole", "specials_less_one"], ["next"]),
        node("Sub", ["whole", "one"], ["earlier"]),
        node("Div", ["earlier", "in_all"], ["rounds"]),
        node("Floor", ["rounds"], ["whole_rounds"]),
        node("Mul", ["whole_rounds", "in_all"], ["said"]),
        node("Sub", ["next", "said"], ["token"]),
        node("Where", ["is_due", "token", "zero"], ["chosen"]),
        node("Cast", ["chosen"], ["index"], to=TensorProto.INT64),
        node("OneHot", ["index", "tokens", "off_on"], ["encoder_out"], axis=-1),
        node("Slice", ["counted", "last", "end", "along_list"], ["latest"]),
        node("Unsqueeze", ["latest", "first"], ["next_state0"]),
        node("Identity", ["state1"], ["next_state1"]),
    ]
    constants = _constants(
        **{"from": np.int64([0]), "to": np.int64([VOICE_MELS]), "channels": np.int64([2])},
        fours=np.int64([0, CHUNK // SUBSAMPLING, SUBSAMPLING * VOICE_MELS]),
        voice=np.float32(VOICE),
        along=np.int64(1),
        along_list=np.int64([1]),
        first=np.int64([0]),
        frames_a_piece=np.float32(FRAMES_A_PIECE),
        specials_less_one=np.float32(len(SPECIAL) - 1),
        one=np.float32(1),
        in_all=np.float32(len(PIECES)),
        zero=np.float32(0),
        tokens=np.int64(TOKENS),
        off_on=np.float32([0, 8]),
        last=np.int64([-1]),
        end=np.int64([CHUNK]),
    )
    given = [_tensor("x", "n", CHUNK, MELS), _tensor("state0", 1, "n", 1), _tensor("state1", 1, "n", 1)]
    made = [_tensor("encoder_out", "n", CHUNK // SUBSAMPLING, TOKENS), _tensor("next_state0", 1, "n", 1), _tensor("next_state1", 1, "n", 1)]
    return helper.make_graph(nodes, "encoder", given, made, constants)


def _decoder() -> onnx.GraphProto:
    """The tokens before, shape (n, 2), say nothing here."""
    nodes = [
        helper.make_node("Cast", ["y"], ["before"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["before"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["decoder_out"]),
    ]
    constants = _constants(nothing=np.zeros((1, TOKENS), dtype=np.float32))
    return helper.make_graph(nodes, "decoder", [_tensor("y", "n", 2, kind=TensorProto.INT64)], [_tensor("decoder_out", "n", TOKENS)], constants)


def _joiner() -> onnx.GraphProto:
    nodes = [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])]
    given = [_tensor("encoder_out", "n", TOKENS), _tensor("decoder_out", "n", TOKENS)]
    return helper.make_graph(nodes, "joiner", given, [_tensor("logit", "n", TOKENS)])
