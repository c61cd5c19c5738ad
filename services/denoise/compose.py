"""Puts the service together: settings, engines, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from services.denoise.boundaries import BoundaryRules
from services.denoise.engine import DETECTORS, ENGINES, FRAME_SAMPLES, HOP_SAMPLES, Passage, SpeechDetector, Suppressor
from services.denoise.levels import StrengthRule
from services.denoise.rpc import add
from services.denoise.session import FrontEnd
from services.denoise.settings import DenoiseSettings
from services.denoise.stage import DenoiseStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import DENOISE

WITH_WEIGHTS = {"deepfilternet": "deepfilternet3", "dtln": "dtln", "gtcrn": "gtcrn"}  # and the models they take
WARM_HOPS = 16


def suppressor(platform: PlatformSettings, engine: str, **options: Any) -> Suppressor:
    runtime = platform.engine_runtime if engine in WITH_WEIGHTS else {}
    return cast(Suppressor, load("denoise", ENGINES, engine, **{**runtime, **options}))


def detector(platform: PlatformSettings, engine: str, **options: Any) -> SpeechDetector:
    return cast(SpeechDetector, load("speech detection", DETECTORS, engine, extra="denoise", **{**platform.engine_runtime, **options}))


def suppressor_model(platform: PlatformSettings, name: str) -> Suppressor:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""

    def suppress_silence(made: Suppressor) -> None:
        made.process([Passage(made.open(), np.zeros(WARM_HOPS * HOP_SAMPLES, dtype=np.float32), np.ones(WARM_HOPS, dtype=np.float32))])

    return load_model(ModelRegistry(platform.models), "denoise", name, partial(suppressor, platform), suppress_silence)


def detector_model(platform: PlatformSettings, name: str) -> SpeechDetector:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""

    def hear_silence(made: SpeechDetector) -> None:
        made.process([(made.open(), np.zeros((1, FRAME_SAMPLES), dtype=np.float32))])

    return load_model(ModelRegistry(platform.models), "voice-activity", name, partial(detector, platform), hear_silence)


def front_end(platform: PlatformSettings, settings: DenoiseSettings) -> FrontEnd:
    """Loads the engines. Raises ``EngineUnusable`` when one cannot be used here."""
    if settings.full_below_db >= settings.none_above_db:
        raise EngineUnusable("VOXRELAY_DENOISE_FULL_BELOW_DB must be less than VOXRELAY_DENOISE_NONE_ABOVE_DB.")
    if settings.offset > settings.onset:
        raise EngineUnusable("VOXRELAY_DENOISE_OFFSET must not be more than VOXRELAY_DENOISE_ONSET.")
    registry = ModelRegistry(platform.models)
    name = settings.model or WITH_WEIGHTS.get(settings.engine, "")
    weights = _weights(registry, name, settings.engine) if name else {}
    suppressors = EngineSlot("denoise", suppressor(platform, settings.engine, **weights), partial(suppressor_model, platform))
    judging = detector(platform, settings.detector, **_weights(registry, settings.detector_model, settings.detector))
    detectors = EngineSlot("voice-activity", judging, partial(detector_model, platform))
    rules = BoundaryRules(
        onset=settings.onset,
        offset=settings.offset,
        shortest_speech=_samples(settings.shortest_speech_ms),
        before=_samples(settings.before_ms),
        after=_samples(settings.after_ms),
        soft_length=int(settings.soft_length_s * SAMPLE_RATE_HZ),
        longest=int(settings.longest_s * SAMPLE_RATE_HZ),
    )
    strength = StrengthRule(settings.full_below_db, settings.none_above_db, settings.strength)
    return FrontEnd(suppressors, detectors, strength, rules, settings.pause_ms)


def compose(platform: PlatformSettings) -> Service:
    """Loads the engines. Raises ``EngineUnusable`` when one cannot be used here."""
    shared = front_end(platform, load_settings(DenoiseSettings))
    suppressors, detectors = shared.suppressors, shared.detectors

    def close() -> None:
        suppressors.close()
        detectors.close()

    return Service(
        name="denoise",
        stages=[StagePart(DENOISE, lambda _lane: DenoiseStage(shared))],
        slots=[suppressors, detectors],
        add_rpc=partial(add, front_end=shared),
        checks={"suppressor": lambda: suppressors.current.check(), "speech detector": lambda: detectors.current.check()},
        close=close,
    )


def _weights(registry: ModelRegistry, name: str, engine: str) -> dict[str, Any]:
    weights, digest = registry.weights(name, engine)
    return {"weights": weights, "model_digest": digest}


def _samples(milliseconds: int) -> int:
    return milliseconds * SAMPLE_RATE_HZ // 1000
