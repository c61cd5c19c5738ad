"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import cast

from services.diarize.clustering import ClusterRules
from services.diarize.engine import ENGINES, SpeakerEmbedder
from services.diarize.rpc import add
from services.diarize.settings import DiarizeSettings
from services.diarize.speakers import Memory
from services.diarize.stage import DiarizeStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import load
from voxrelay.events import Lane
from voxrelay.models.registry import ModelRegistry
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import DIARIZE


def speaker_embedder(platform: PlatformSettings, settings: DiarizeSettings) -> SpeakerEmbedder:
    """Loads the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    weights, digest = ModelRegistry(platform.models).weights(settings.model, settings.engine)
    return cast(SpeakerEmbedder, load("diarize", ENGINES, settings.engine, weights=weights, model_digest=digest))


def cluster_rules(settings: DiarizeSettings) -> ClusterRules:
    return ClusterRules(settings.threshold, settings.threshold_when_told, settings.shortest_speaker_ms * SAMPLE_RATE_HZ // 1000)


def compose(platform: PlatformSettings) -> Service:
    """Loads the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(DiarizeSettings)
    embedder = speaker_embedder(platform, settings)
    rules, memory = cluster_rules(settings), Memory(settings.kept_windows, settings.kept_utterances)

    def make(_lane: Lane) -> DiarizeStage:
        return DiarizeStage(embedder, rules=rules, memory=memory, interim_every_ms=settings.interim_every_ms)

    return Service(
        name="diarize",
        stages=[StagePart(DIARIZE, make)],
        add_rpc=partial(add, embedder=embedder, rules=rules),
        engines={DIARIZE.name: embedder.engine},
    )
