"""Puts the service together: settings, engines, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from services.transcribe.engine import ENGINES, EXTRAS, Advance, StreamOptions, Transcriber
from services.transcribe.rpc import add
from services.transcribe.settings import TranscribeSettings
from services.transcribe.stage import AT_ONCE_S, TranscribeStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import EngineUnusable, load
from voxrelay.events import Lane
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.service import Service, ShadowPart, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import TRANSCRIBE

RECOMMENDED = {"faster-whisper": "faster-whisper-small", "sherpa-onnx": "zipformer-en"}  # the model an engine takes where no other is named

TYPICAL_UTTERANCE_S = 8.0


def options_of(engine: str, platform: PlatformSettings, settings: TranscribeSettings) -> dict[str, Any]:
    """What an engine is made with besides its model."""
    if engine == "faster-whisper":
        return {
            "threads": platform.threads_per_engine,
            "device": settings.device,
            "compute": settings.compute,
            "batch": settings.batch,
            "beam": settings.beam,
            "is_translating": settings.task == "translate",
        }
    if engine == "sherpa-onnx":
        return {"workers": settings.workers, "threads": platform.threads_per_engine, "provider": platform.onnx_provider, "batch": settings.batch}
    return {
        "workers": settings.workers,
        "followed": settings.followed,
        "words": settings.words,
        "beam_hmms": settings.beam_hmms,
        "boost": settings.boost,
        "vocabularies": settings.vocabularies,
    }


def transcriber(platform: PlatformSettings, settings: TranscribeSettings, engine: str, **changes: Any) -> Transcriber:
    """The engine with the service's settings and ``changes`` to them. Raises ``EngineUnusable`` when it cannot be used here."""
    options = {**options_of(engine, platform, settings), **changes}
    return cast(Transcriber, load("transcribe", ENGINES, engine, extra=EXTRAS.get(engine, ""), **options))


def configured_transcriber(platform: PlatformSettings, settings: TranscribeSettings) -> Transcriber:
    """What the settings name, with its model where it needs one. Raises ``EngineUnusable``."""
    name = settings.model or RECOMMENDED.get(settings.engine, "")
    if name:
        registry = ModelRegistry(platform.models)
        engine = registry.entry(name).engine
        if engine != settings.engine:
            raise EngineUnusable(f"'{name}' is a model of the engine '{engine}', and VOXRELAY_TRANSCRIBE_ENGINE is '{settings.engine}'.")
        return transcriber(platform, settings, settings.engine, weights=registry.path(name), model_digest=registry.digest(name))
    return transcriber(platform, settings, settings.engine)


def model(platform: PlatformSettings, settings: TranscribeSettings, name: str) -> Transcriber:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    return load_model(ModelRegistry(platform.models), "transcribe", name, partial(transcriber, platform, settings), _hear_silence)


def _hear_silence(made: Transcriber) -> None:
    stream = made.open(StreamOptions(), wants_interims=False)
    made.advance([Advance(stream, np.zeros(SAMPLE_RATE_HZ, dtype=np.float32), is_last=True)])


def compose(platform: PlatformSettings) -> Service:
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(TranscribeSettings)
    configured = configured_transcriber(platform, settings)
    slot = EngineSlot("transcribe", configured, partial(model, platform, settings))
    at_once_s = max(AT_ONCE_S, settings.batch * TYPICAL_UTTERANCE_S)

    def make(lane: Lane) -> TranscribeStage:
        return TranscribeStage(slot, interim_every_ms=settings.interim_every_ms, is_urgent=lane == "live", at_once_s=at_once_s)

    return Service(
        name="transcribe",
        stages=[StagePart(TRANSCRIBE, make, ShadowPart(slot, partial(TranscribeStage, is_urgent=False)))],
        slots=[slot],
        add_rpc=partial(add, slot=slot),
        checks={"transcriber": lambda: slot.current.check()},
        close=slot.close,
        models=(f"{configured.engine.name}:{configured.engine.version}",),
    )
