"""Smaller variants of ONNX models: weights in 8 or 16 bits, registered beside the original under its licence.

int8: ONNX Runtime's dynamic quantization of matrix products and recurrent layers; weights per channel in 7 of the 8 bits, for on
processors without VNNI sums of full ones overflow. Convolutions stay: with them in int8 Silero hears no speech at all (docs/quality.md).
fp16: its conversion to half precision, with inputs and outputs left as they were, so that engines run either without knowing.
Whether a variant is any good, ``voxrelay evaluate`` says.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from voxrelay.engines import EngineUnusable
from voxrelay.models.catalogue import ModelEntry, ModelFile
from voxrelay.models.registry import ModelRegistry, sha256_of

Precision = Literal["int8", "fp16"]
IN_INT8 = ("MatMul", "Gemm", "LSTM")
PRECISIONS: tuple[str, ...] = get_args(Precision)


def quantize(registry: ModelRegistry, name: str, precision: Precision) -> ModelEntry:
    """Makes ``<name>-<precision>`` of an installed model and registers it, with a checksum of its own.

    Raises ``EngineUnusable`` for a model that is not here, is none of ONNX or cannot be converted, and ``PullFailed`` where it cannot be stored.
    """
    original = registry.entry(name)
    if not original.files or not all(file.path.endswith(".onnx") for file in original.files):
        raise EngineUnusable(f"'{name}' is no ONNX model: only these can be quantized here.")
    here = registry.path(name)
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for file in original.files:
            source, made = here if here.is_file() else here / file.path, Path(scratch) / file.path
            made.parent.mkdir(parents=True, exist_ok=True)
            _convert(source, made, precision)
            files.append(ModelFile(file.path, sha256_of(made), made.stat().st_size))
        variant = replace(
            original,
            name=f"{name}-{precision}",
            source=f"made:quantize {name} --to {precision}",
            files=tuple(files),
            summary=f"{original.summary}, {precision} (made here of {original.digest[:12]})",
            is_bundled=False,
        )
        return registry.add_made(variant, Path(scratch))


def _convert(source: Path, made: Path, precision: Precision) -> None:
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ModuleNotFoundError as error:
        raise EngineUnusable(f"Quantizing needs the library {error.name}: pip install 'voxrelay[quantize]'.") from error
    try:
        if precision == "int8":
            quantize_dynamic(source, made, op_types_to_quantize=list(IN_INT8), per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
            if _weights_of(onnx.load(str(made)), onnx.TensorProto.INT8) == 0:
                raise EngineUnusable(f"{source.name} has nothing that int8 is done for ({', '.join(IN_INT8)}): try fp16.")
        else:
            onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(made))
        _check(made)
    except EngineUnusable:
        raise
    except Exception as error:  # the converters raise anything over graphs they do not know
        raise EngineUnusable(f"{source.name} cannot be made {precision} ({type(error).__name__}): the conversion does not know its graph.") from error


def _weights_of(model: Any, kind: int) -> int:
    """How many of the main graph's weights are of that kind."""
    return sum(weight.data_type == kind for weight in model.graph.initializer)


def _check(made: Path) -> None:
    """That ONNX Runtime loads it: a converter may write a graph that nothing runs."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(made), options, providers=["CPUExecutionProvider"])
