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
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot, EngineSupply
from voxrelay.service import Service, ShadowPart, StagePart
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
    runtime = platform.engine_runtime if engine in EXTRAS else {}
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


def cluster_rules(settings: DiarizeSettings, embedder: SpeakerEmbedder) -> ClusterRules:
    """Distances are the embedder's own where none is set: directions of two models spread differently."""
    return ClusterRules(
        embedder.threshold if settings.threshold is None else settings.threshold,
        embedder.threshold_when_told if settings.threshold_when_told is None else settings.threshold_when_told,
        settings.shortest_speaker_ms * SAMPLE_RATE_HZ // 1000,
    )


def compose(platform: PlatformSettings) -> Service:
    """Loads the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(DiarizeSettings)
    slot = EngineSlot("diarize", speaker_embedder(platform, settings), partial(model, platform))
    rules, memory = partial(cluster_rules, settings), Memory(settings.kept_windows, settings.kept_utterances)

    def make(supply: EngineSupply[SpeakerEmbedder]) -> DiarizeStage:
        return DiarizeStage(supply, rules=rules, memory=memory, interim_every_ms=settings.interim_every_ms)

    return Service(
        name="diarize",
        stages=[StagePart(DIARIZE, lambda _lane: make(slot), ShadowPart(slot, make))],
        slots=[slot],
        checks={"speaker embedder": lambda: slot.current.check()},
        add_rpc=partial(add, slot=slot, rules=rules),
        close=slot.close,
    )
