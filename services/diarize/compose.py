"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.diarize.clustering import ClusterRules
from services.diarize.engine import ENGINES, EXTRAS, SpeakerEmbedder
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

RECOMMENDED = {"ge2e": "ge2e", "pyannote": "wespeaker-resnet34", "speechbrain": "ecapa-voxceleb"}  # the model an engine takes


def speaker_embedder(platform: PlatformSettings, settings: DiarizeSettings) -> SpeakerEmbedder:
    """Loads the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    registry, engine = ModelRegistry(platform.models), settings.engine
    name = settings.model or RECOMMENDED.get(engine, engine)
    options: dict[str, Any] = {} if engine == "ge2e" else {"provider": platform.onnx_provider, "threads": platform.threads_per_engine}
    if engine in ENGINES:
        options |= {"weights": registry.path(name), "model_digest": registry.digest(name), **registry.entry(name).options}
    return cast(SpeakerEmbedder, load("diarize", ENGINES, engine, extra=EXTRAS.get(engine, ""), **options))


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
