"""How the service is put together, and what wrong settings get."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from services.diarize.clustering import ClusterRules
from services.diarize.compose import cluster_rules, compose, model
from services.diarize.settings import DiarizeSettings
from services.diarize.stage import DiarizeStage
from tests.unit.diarize.scripted import ScriptedEmbedder, conversation
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable
from voxrelay.events import Event, SegmentDiarized, SessionConfig
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.settings import PlatformSettings


def test_missing_weights_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="voxrelay models pull ge2e"):
        compose(PlatformSettings(models=tmp_path))


def test_distances_are_the_models_own_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, other = ScriptedEmbedder(), ScriptedEmbedder()
    other.threshold, other.threshold_when_told = 0.8, 0.7
    assert cluster_rules(DiarizeSettings(), embedder) == ClusterRules(0.5, 0.4, 32_000)
    assert cluster_rules(DiarizeSettings(), other) == ClusterRules(0.8, 0.7, 32_000)
    monkeypatch.setenv("VOXRELAY_DIARIZE_THRESHOLD", "0.3")
    monkeypatch.setenv("VOXRELAY_DIARIZE_SHORTEST_SPEAKER_MS", "500")
    assert cluster_rules(DiarizeSettings(), other) == ClusterRules(0.3, 0.7, 8_000)


@pytest.mark.parametrize(("threshold", "speakers"), [(0.9, {"S1"}), (0.5, {"S1", "S2"})])
def test_each_session_has_the_distances_of_its_model(threshold: float, speakers: set[str]) -> None:
    embedder = ScriptedEmbedder()
    embedder.threshold = threshold
    embedder.embed = partial(_alike, embedder)  # type: ignore[method-assign]
    stage = DiarizeStage(EngineSlot("diarize", embedder), rules=partial(cluster_rules, DiarizeSettings()))
    parts = conversation([[(1, 3.0)], [(2, 3.0)]], SessionConfig(interim_results=False))
    results = [result.payload for part in parts for result in stage.process([Event("s", part)])]
    assert {turn.speaker for result in results if isinstance(result, SegmentDiarized) for turn in result.segments} == speakers


def _alike(embedder: ScriptedEmbedder, windows: Float32Array) -> Float32Array:
    """Voices a good deal more alike than the scripted ones: 0.8 apart."""
    vectors = ScriptedEmbedder.embed(embedder, windows)
    vectors[:, 0] = 0.5 * np.linalg.norm(vectors[:, 1:], axis=1)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_the_model_in_the_registry_may_say_its_own(tmp_path: Path) -> None:
    """``models add --option threshold=…``: the options of an entry reach the engine."""
    registry = ModelRegistry(tmp_path)
    original = ModelRegistry(PlatformSettings().models)
    try:
        registry.add(replace(original.entry("ge2e"), name="mine", source=f"folder:{original.path('ge2e')}", options={"threshold": 0.45}))
    except EngineUnusable as error:
        pytest.skip(str(error))
    made = model(PlatformSettings(models=tmp_path), "mine")
    assert (made.threshold, made.threshold_when_told) == (0.45, 0.30)


def test_both_lanes_get_stages_of_their_own() -> None:
    try:
        service = compose(PlatformSettings())
    except EngineUnusable as error:
        pytest.skip(str(error))
    part = service.stages[0]
    assert (service.name, part.node.name) == ("diarize", "diarize")
    live, bulk = part.make("live"), part.make("bulk")
    assert isinstance(live, DiarizeStage)
    assert live is not bulk
    assert service.add_rpc is not None
