"""Puts the service together: settings, engines, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.denoise.boundaries import BoundaryRules
from services.denoise.engine import DETECTORS, ENGINES, SpeechDetector, Suppressor
from services.denoise.levels import StrengthRule
from services.denoise.rpc import add
from services.denoise.session import FrontEnd
from services.denoise.settings import DenoiseSettings
from services.denoise.stage import DenoiseStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.registry import ModelRegistry
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import DENOISE

WITH_WEIGHTS = ("dtln", "gtcrn")  # models of the same names


def front_end(platform: PlatformSettings, settings: DenoiseSettings) -> FrontEnd:
    """Loads the engines. Raises ``EngineUnusable`` when one cannot be used here."""
    if settings.full_below_db >= settings.none_above_db:
        raise EngineUnusable("VOXRELAY_DENOISE_FULL_BELOW_DB must be less than VOXRELAY_DENOISE_NONE_ABOVE_DB.")
    if settings.offset > settings.onset:
        raise EngineUnusable("VOXRELAY_DENOISE_OFFSET must not be more than VOXRELAY_DENOISE_ONSET.")
    registry = ModelRegistry(platform.models)
    suppressor = cast(Suppressor, load("denoise", ENGINES, settings.engine, **_weights(settings, platform, registry)))
    detector_weights, detector_digest = registry.weights(settings.detector_model, settings.detector)
    detector = cast(
        SpeechDetector,
        load(
            "speech detection",
            DETECTORS,
            settings.detector,
            extra="denoise",
            weights=detector_weights,
            model_digest=detector_digest,
            provider=platform.onnx_provider,
            threads=platform.threads_per_engine,
        ),
    )
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
    return FrontEnd(suppressor, detector, strength, rules, settings.pause_ms)


def compose(platform: PlatformSettings) -> Service:
    """Loads the engines. Raises ``EngineUnusable`` when one cannot be used here."""
    shared = front_end(platform, load_settings(DenoiseSettings))
    suppressor, detector = shared.suppressor, shared.detector
    return Service(
        name="denoise",
        stages=[StagePart(DENOISE, lambda _lane: DenoiseStage(shared))],
        add_rpc=partial(add, front_end=shared),
        checks={"suppressor": suppressor.check, "speech detector": detector.check},
        engines={DENOISE.name: shared.suppressor.engine, "speech detection": shared.detector.engine},
    )


def _weights(settings: DenoiseSettings, platform: PlatformSettings, registry: ModelRegistry) -> dict[str, Any]:
    """What an engine with weights is made with."""
    if settings.engine not in WITH_WEIGHTS:
        return {}
    weights, digest = registry.weights(settings.model or settings.engine, settings.engine)
    return {"weights": weights, "model_digest": digest, "provider": platform.onnx_provider, "threads": platform.threads_per_engine}


def _samples(milliseconds: int) -> int:
    return milliseconds * SAMPLE_RATE_HZ // 1000
