"""The reader of legacy torch files: what torch wrote is read, anything else is refused and never run."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.legacy_torch import MACHINE, Named, Storage, Tensor, legacy_file
from voxrelay.models.torch_weights import MAGIC_NUMBER, PROTOCOL_VERSION, UnreadableWeights, read_torch_weights


@pytest.fixture
def storage() -> Storage:
    return Storage("7", np.arange(12, dtype=np.float32))


def test_tensors_come_back_by_name_with_shape_and_strides(tmp_path: Path, storage: Storage) -> None:
    counts = Storage("8", np.array([5, -6], dtype=np.int64), "LongStorage")
    model = OrderedDict(
        rows=Tensor(storage, 0, (3, 4), (4, 1)),
        turned=Tensor(storage, 0, (4, 3), (1, 4)),
        part=Tensor(storage, 2, (2,), (3,)),
        n=Tensor(counts, 0, (2,), (1,)),
    )
    path = legacy_file(tmp_path / "model.pt", {"step": 3, "model_state": model}, [storage, counts])
    found = read_torch_weights(path, "model_state")
    assert sorted(found) == ["n", "part", "rows", "turned"]
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert (found["rows"] == rows).all()
    assert (found["turned"] == rows.T).all()
    assert found["part"].tolist() == [2.0, 5.0]
    assert found["n"].tolist() == [5, -6]
    assert found["rows"].dtype == np.float32


def test_values_that_are_no_tensors_are_left_out(tmp_path: Path, storage: Storage) -> None:
    path = legacy_file(tmp_path / "model.pt", {"step": 3, "one": Tensor(storage, 0, (12,), (1,))}, [storage])
    assert list(read_torch_weights(path)) == ["one"]


def test_a_malicious_file_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "it ran",))

    path = tmp_path / "model.pt"
    for protocol in (0, 2, 4):
        path.write_bytes(pickle.dumps(Malicious(), protocol=protocol))
        with pytest.raises(UnreadableWeights, match="nothing of it was run"):
            read_torch_weights(path)
    with path.open("wb") as file:
        for part in (MAGIC_NUMBER, PROTOCOL_VERSION, MACHINE):
            pickle.dump(part, file, protocol=2)
        pickle.dump({"model_state": Malicious()}, file, protocol=2)
    with pytest.raises(UnreadableWeights, match="nothing of it was run"):
        read_torch_weights(path)
    assert not (tmp_path / "it ran").exists()
    pickle.loads(pickle.dumps(Malicious()))  # noqa: S301  # it would have
    assert (tmp_path / "it ran").exists()


@pytest.mark.parametrize("name", ["builtins eval", "os system", "torch._utils _rebuild_tensor", "collections OrderedDict.fromkeys", "torch load"])
def test_only_what_weights_need_may_be_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableWeights, match="no use for"):
        read_torch_weights(legacy_file(tmp_path / "model.pt", {"one": Named(name)}, []))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (13,), (1,)), (1, (12,), (1,)), (0, (2, 2), (11, 1)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (1,)), (0, (1 << 50,), (0,))],
)
def test_a_tensor_never_reaches_beyond_its_storage(tmp_path: Path, storage: Storage, offset: int, shape: Any, strides: Any) -> None:
    path = legacy_file(tmp_path / "model.pt", {"one": Tensor(storage, offset, shape, strides)}, [storage])
    with pytest.raises(UnreadableWeights, match="tensor"):
        read_torch_weights(path)


def test_files_of_other_kinds_are_refused(tmp_path: Path, storage: Storage) -> None:
    path = tmp_path / "model.pt"
    good = legacy_file(path, {"one": Tensor(storage, 0, (12,), (1,))}, [storage]).read_bytes()
    for wrong in (b"", b"no pickle", b"PK\x03\x04", good[:-1], good[:60], good[:-40]):
        path.write_bytes(wrong)
        with pytest.raises(UnreadableWeights):
            read_torch_weights(path)
    with pytest.raises(UnreadableWeights, match="not a legacy torch file"):
        read_torch_weights(legacy_file(path, {}, [], magic=1))
    with pytest.raises(UnreadableWeights, match="big-endian"):
        read_torch_weights(legacy_file(path, {}, [], {"little_endian": False}))
    with pytest.raises(UnreadableWeights, match="no mapping 'model_state'"):
        read_torch_weights(legacy_file(path, {"one": 1}, []), "model_state")
