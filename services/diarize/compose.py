"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from services.diarize.clustering import ClusterRules
from services.diarize.engine import ENGINES, EXTRAS, SpeakerEmbedder
from services.diarize.rpc import add
from services.diarize.settings import DiarizeSettings
from services.diarize.speakers import Memory
from services.diarize.stage import DiarizeStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import load
from voxrelay.events import Lane
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import DIARIZE

RECOMMENDED = {"ge2e": "ge2e", "pyannote": "wespeaker-resnet34", "speechbrain": "ecapa-voxceleb"}  # the model an engine takes


def speaker_embedder(platform: PlatformSettings, settings: DiarizeSettings) -> SpeakerEmbedder:
    """Loads the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    registry, engine = ModelRegistry(platform.models), settings.engine
    name = settings.model or RECOMMENDED.get(engine, "")
    options: dict[str, Any] = {}
    if name:
        weights, digest = registry.weights(name, engine)
        options = {"weights": weights, "model_digest": digest, **registry.entry(name).options}
    return embedder(platform, engine, **options)


def embedder(platform: PlatformSettings, engine: str, **options: Any) -> SpeakerEmbedder:
    runtime = {"provider": platform.onnx_provider, "threads": platform.threads_per_engine} if engine in EXTRAS else {}
    return cast(SpeakerEmbedder, load("diarize", ENGINES, engine, extra=EXTRAS.get(engine, ""), **{**runtime, **options}))


def model(platform: PlatformSettings, name: str) -> SpeakerEmbedder:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    return load_model(
        ModelRegistry(platform.models),
        "diarize",
        name,
        partial(embedder, platform),
        lambda made: made.embed(np.zeros((1, made.window_samples), dtype=np.float32)),
    )


def cluster_rules(settings: DiarizeSettings) -> ClusterRules:
    return ClusterRules(settings.threshold, settings.threshold_when_told, settings.shortest_speaker_ms * SAMPLE_RATE_HZ // 1000)


def compose(platform: PlatformSettings) -> Service:
    """Loads the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(DiarizeSettings)
    slot = EngineSlot("diarize", speaker_embedder(platform, settings), partial(model, platform))
    rules, memory = cluster_rules(settings), Memory(settings.kept_windows, settings.kept_utterances)

    def make(_lane: Lane) -> DiarizeStage:
        return DiarizeStage(slot, rules=rules, memory=memory, interim_every_ms=settings.interim_every_ms)

    return Service(name="diarize", stages=[StagePart(DIARIZE, make)], slots=[slot], add_rpc=partial(add, slot=slot, rules=rules), close=slot.close)
