"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.transcribe.engine import ENGINES, Transcriber
from services.transcribe.rpc import add
from services.transcribe.settings import TranscribeSettings
from services.transcribe.stage import TranscribeStage
from voxrelay.engines import load
from voxrelay.events import Lane
from voxrelay.models.registry import ModelRegistry
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import TRANSCRIBE

RECOMMENDED = {"faster-whisper": "faster-whisper-small"}  # the model an engine takes where no other is named
EXTRAS = {"faster-whisper": "faster-whisper"}  # of the distribution, where it is not called like the capability


def options_of(engine: str, platform: PlatformSettings, settings: TranscribeSettings) -> dict[str, Any]:
    """What an engine is made with. Raises ``EngineUnusable`` where its weights are missing."""
    if engine == "pocketsphinx":
        return {
            "workers": settings.workers,
            "followed": settings.followed,
            "beam_hmms": settings.beam_hmms,
            "boost": settings.boost,
            "vocabularies": settings.vocabularies,
        }
    registry, model = ModelRegistry(platform.models), settings.model or RECOMMENDED.get(engine, engine)
    options: dict[str, Any] = {"weights": registry.path(model), "model_digest": registry.digest(model), "threads": platform.threads_per_engine}
    if engine == "faster-whisper":
        options |= {"device": settings.device, "compute": settings.compute, "batch": settings.batch, "beam": settings.beam}
        options["is_translating"] = settings.task == "translate"
    return options


def compose(platform: PlatformSettings) -> Service:
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(TranscribeSettings)
    transcriber = cast(
        Transcriber,
        load("transcribe", ENGINES, settings.engine, extra=EXTRAS.get(settings.engine, ""), **options_of(settings.engine, platform, settings)),
    )

    def make(lane: Lane) -> TranscribeStage:
        return TranscribeStage(transcriber, interim_every_ms=settings.interim_every_ms, is_urgent=lane == "live")

    return Service(
        name="transcribe",
        stages=[StagePart(TRANSCRIBE, make)],
        add_rpc=partial(add, transcriber=transcriber),
        checks={"transcriber": transcriber.check},
        close=transcriber.close,
        engines={TRANSCRIBE.name: transcriber.engine},
        models=(f"{transcriber.engine.name}:{transcriber.engine.version}",),
    )
