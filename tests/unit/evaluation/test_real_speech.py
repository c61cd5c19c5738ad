"""The whole command on a few seconds of real speech: the live stages, the scores, the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.__main__ import main
from voxrelay.engines import EngineUnusable
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings


@pytest.fixture(autouse=True)
def detector() -> None:
    try:
        ModelRegistry(PlatformSettings().models).path("silero-vad")
    except EngineUnusable as error:
        pytest.skip(str(error))


def test_labels_of_one_recording(eval_data: Path, tmp_path: Path) -> None:
    """Nobody transcribes here, and what reads words is not waited for."""
    entry = json.loads((eval_data / "emotion_or_attributes" / "emotion.json").read_text())[0]
    line = {"audio": str(eval_data / entry["file"]), "labels": {"gender": "male"}}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line))
    main(["--task", "classify", "--engine", "dsp", "--no-baseline", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    heard, guessed = json.loads((tmp_path / "out" / "results.json").read_text())["systems"]
    assert heard["engines"]["SegmentClassified"].startswith("dsp")
    assert heard["rate"] in (0.0, 1.0)  # a raised voice may be taken for a woman's
    assert guessed["rate"] == 0.0


def test_denoising_of_one_recording(eval_data: Path, tmp_path: Path) -> None:
    pair = json.loads((eval_data / "noise" / "pairs.json").read_text())[0]
    line = {"audio": str(eval_data / pair["noisy"]), "clean": str(eval_data / pair["clean"]), "group": "0 dB"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line))
    arguments = [
        "--task",
        "denoise",
        "--engine",
        "omlsa",
        "--session",
        "noise_suppression=1",
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    main(arguments)
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    cleaned, untouched = data["systems"]
    assert (cleaned["name"], untouched["name"]) == ("omlsa", "unprocessed")
    assert cleaned["rate"] > untouched["rate"] + 2.0
    assert untouched["summary"]["SI-SDR gain (dB)"] == pytest.approx(0.0, abs=1e-6)
    assert cleaned["summary"]["STOI"] > 0.6
    assert cleaned["timing"]["audio_s"] > 2.0
    assert cleaned["timing"]["latency_s"]["p50"] > 0.0
