"""What only Piper's voices do: with a small graph, and with real weights where they were pulled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from services.synth.compose import configured_synthesizer
from services.synth.engine import ENGINES, Sentence
from services.synth.settings import SynthSettings
from tests.contracts.synth.tiny_piper import build_tiny_piper
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings

pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed")
pytest.importorskip("onnx", reason="onnx, which makes the small graphs, is not installed")


def test_speakers_sound_different_and_variants_of_the_bundled_engine_are_some_of_them(tmp_path: Path) -> None:
    engine = load("synth", ENGINES, "piper", weights=build_tiny_piper(tmp_path, ("anna", "Ben")))
    try:
        assert [voice.name for voice in engine.voices()] == ["en-us", "en-us+anna", "en-us+ben"]
        said = {voice.name: engine.speak([Sentence("Hello there.", voice.name)])[0].pcm_s16le for voice in engine.voices()}
        assert said["en-us"] == said["en-us+anna"] != said["en-us+ben"]
        assert engine.find("en+m3") in engine.voices()
        assert engine.find("EN-US+BEN").name == "en-us+ben"
    finally:
        engine.close()


def test_a_text_without_end_goes_through_the_graph_in_parts(tiny_piper: Path) -> None:
    engine = load("synth", ENGINES, "piper", weights=tiny_piper)
    try:
        sizes: list[int] = []
        run = engine._model.run
        engine._model.run = lambda feed: sizes.append(feed["input"].size) or run(feed)
        engine.speak([Sentence("and so on, " * 300, "en-us")])
        assert len(sizes) > 3
        assert max(sizes) <= 2 * 400 + 4
    finally:
        engine.close()


def test_what_is_no_voice_is_refused_in_a_sentence(tmp_path: Path, tiny_piper: Path) -> None:
    with pytest.raises(EngineUnusable, match="holds no voice"):
        load("synth", ENGINES, "piper", weights=tmp_path)
    facts = json.loads((tiny_piper / "tiny.onnx.json").read_text())
    (tmp_path / "tiny.onnx").write_bytes(b"not a model")
    for wrong, said in (
        ("no description", "cannot be read"),
        ("{}", "does not describe its voice"),
        (json.dumps(facts), "cannot be read as an ONNX model"),
    ):
        (tmp_path / "tiny.onnx.json").write_text(wrong)
        with pytest.raises(EngineUnusable, match=said):
            load("synth", ENGINES, "piper", weights=tmp_path)
    (tmp_path / "tiny.onnx").write_bytes((tiny_piper / "tiny.onnx").read_bytes())
    (tmp_path / "tiny.onnx.json").write_text(json.dumps({**facts, "espeak": {"voice": "nobody speaks this"}}))
    with pytest.raises(EngineUnusable, match="cannot pronounce 'nobody speaks this'"):
        load("synth", ENGINES, "piper", weights=tmp_path)


def test_the_service_takes_a_voice_of_ones_own_from_the_registry(tiny_piper: Path, tmp_path: Path) -> None:
    platform = PlatformSettings(models=tmp_path)
    added = ModelRegistry(tmp_path).add(ModelEntry("hum", "synth", "piper", f"folder:{tiny_piper}", "Apache-2.0", "hums"))
    engine = configured_synthesizer(platform, SynthSettings(engine="piper", model="hum"))
    assert engine.engine.model_digest == added.digest
    engine.close()
    with pytest.raises(EngineUnusable, match="voxrelay models pull piper-en-us-joe"):
        configured_synthesizer(platform, SynthSettings(engine="piper"))


def test_the_real_voice_speaks_at_the_pace_of_people() -> None:
    try:
        weights = ModelRegistry(PlatformSettings().models).path("piper-en-us-joe")
    except EngineUnusable as error:
        pytest.skip(str(error))
    engine = load("synth", ENGINES, "piper", weights=weights)
    try:
        said = "The weather is fine today, and we shall walk to the river."
        usual, fast = engine.speak([Sentence(said, "en-us"), Sentence(said, "en-us", 1.5)])
        samples = np.frombuffer(usual.pcm_s16le, dtype=np.int16)
        assert 2.0 < samples.size / engine.sample_rate_hz < 5.0  # twelve words
        assert len(fast.pcm_s16le) < 0.8 * len(usual.pcm_s16le)
        assert 300 < np.abs(samples.astype(np.float64)).mean() < 20_000
    finally:
        engine.close()
