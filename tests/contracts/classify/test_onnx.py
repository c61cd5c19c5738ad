"""What only trained classifiers do: labels and inputs from the model's entry, and batches that give way when memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.classify.engine import ACOUSTIC_ENGINES
from tests.contracts.classify.tiny_models import LABELS, build_tiny_classifier
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.errors import Unavailable

NOISE = np.asarray(np.random.default_rng(3).normal(size=150_000) * 0.1, dtype=np.float32)


def made(path: Path, **options: Any) -> Any:
    return load("classify", ACOUSTIC_ENGINES, "onnx", weights=path, **{"labels": LABELS, **options})


def of(classifier: Any, samples: Float32Array, name: str = "emotion") -> Any:
    (answer,) = classifier.classify([samples])
    return next((attribute for attribute in answer if attribute.name == name), None)


def test_the_network_speaks_beside_signal_processing_and_in_its_place(tmp_path: Path) -> None:
    path = build_tiny_classifier(tmp_path / "model.onnx", 2)
    classifier = made(path, attribute="gender", labels="female,male")
    assert "pitch_hz" in classifier.names
    assert "emotion" not in classifier.names
    assert of(classifier, NOISE, "gender").value in ("female", "male")  # noise has no pitch to guess from
    assert of(classifier, NOISE[:7_999], "gender") is None


def test_windows_count_as_much_as_they_are_long(tmp_path: Path) -> None:
    classifier = made(build_tiny_classifier(tmp_path / "model.onnx"), window_s=2.0)
    calls: list[Float32Array] = []
    score = classifier._score

    def recorded(windows: Float32Array) -> Float32Array:
        calls.append(windows)
        return score(windows)

    classifier._score = recorded
    found = of(classifier, NOISE[:40_000])  # a whole window and a quarter of one
    (windows,) = calls
    assert windows.shape == (2, 32_000)
    mean = np.average(score(windows), axis=0, weights=[32_000, 8_000])
    assert found.value == LABELS.split(",")[int(mean.argmax())]
    assert found.confidence == pytest.approx(mean.max(), abs=1e-3)


def test_memory_that_runs_out_halves_the_batch_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classifier = made(build_tiny_classifier(tmp_path / "model.onnx"), window_s=1.0, batch=8)
    expected = [classifier.classify([NOISE[: 16_000 * n]])[0] for n in range(1, 6)]
    run, sizes, room = classifier._model.run, [], [3]

    def tight(feed: Any) -> Any:
        rows = len(feed["input_values"])
        sizes.append(rows)
        if rows > room[0]:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1")
        return run(feed)

    classifier._model.run = tight
    assert classifier.classify([NOISE[: 16_000 * n] for n in range(1, 6)]) == expected
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 1]
    assert [record.__dict__["fields"]["batch"] for record in caplog.records if "ran out of memory" in record.getMessage()] == [4, 2]
    room[0] = 0
    with pytest.raises(Unavailable, match="not enough memory"):
        classifier.classify([NOISE])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attribute": "pitch_hz"}, "cannot give the attribute 'pitch_hz'"),
        ({"attribute": "shoe_size"}, "choose one of gender, emotion"),
        ({"labels": "angry"}, "cannot be the labels"),
        ({"attribute": "gender", "labels": "female,male,both"}, "cannot be the labels"),
        ({"labels": "angry,happy"}, "for 2 labels"),
        ({"input": "audio"}, "another model than was expected"),
        ({"window_s": 0.0}, "0.5 to 60 seconds"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = build_tiny_classifier(tmp_path / "model.onnx")
    with pytest.raises(EngineUnusable, match=said):
        made(path, **options)
