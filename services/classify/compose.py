"""Puts the service together: settings, engines, stages, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from services.classify.engine import ACOUSTIC_ENGINES, EXTRAS, TEXT_ENGINES, AcousticClassifier, TextClassifier, TranscribedText
from services.classify.rpc import add
from services.classify.settings import ClassifySettings
from services.classify.stage import AcousticStage, TextStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import EngineUnusable, load
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot, EngineSupply
from voxrelay.service import Service, ShadowPart, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import CLASSIFY, CLASSIFY_TEXT


def acoustic_classifier(platform: PlatformSettings, engine: str, **options: Any) -> AcousticClassifier:
    runtime = platform.engine_runtime if engine in EXTRAS else {}
    return cast(AcousticClassifier, load("classify", ACOUSTIC_ENGINES, engine, extra=EXTRAS.get(engine, ""), **{**runtime, **options}))


def configured_acoustic(platform: PlatformSettings, settings: ClassifySettings) -> AcousticClassifier:
    """What the settings name, with its model where it needs one. Raises ``EngineUnusable``."""
    engine, options = settings.acoustic_engine, dict[str, Any]()
    if settings.model:
        registry = ModelRegistry(platform.models)
        weights, digest = registry.weights(settings.model, engine)
        options = {"weights": weights, "model_digest": digest, **registry.entry(settings.model).options}
    elif engine in EXTRAS:
        raise EngineUnusable(f"The engine '{engine}' needs a model: name one of the registry in VOXRELAY_CLASSIFY_MODEL.")
    return acoustic_classifier(platform, engine, **options)


def text_classifier(engine: str, **options: Any) -> TextClassifier:
    return cast(TextClassifier, load("classify", TEXT_ENGINES, engine, **options))


def acoustic_model(platform: PlatformSettings, name: str) -> AcousticClassifier:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    silence = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    return load_model(ModelRegistry(platform.models), "classify", name, partial(acoustic_classifier, platform), lambda made: made.classify([silence]))


def text_model(platform: PlatformSettings, name: str) -> TextClassifier:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    said = TranscribedText("Good morning.", language="en")
    return load_model(ModelRegistry(platform.models), "classify-text", name, text_classifier, lambda made: made.classify([said]))


def compose(platform: PlatformSettings) -> Service:
    """Loads both engines. Raises ``EngineUnusable`` when one cannot be used here."""
    settings = load_settings(ClassifySettings)
    acoustic = EngineSlot("classify", configured_acoustic(platform, settings), partial(acoustic_model, platform))
    text = EngineSlot("classify-text", text_classifier(settings.text_engine), partial(text_model, platform))

    def make_acoustic(supply: EngineSupply[AcousticClassifier]) -> AcousticStage:
        return AcousticStage(supply, interim_every_ms=settings.interim_every_ms)

    def close() -> None:
        acoustic.close()
        text.close()

    return Service(
        name="classify",
        stages=[
            StagePart(CLASSIFY, lambda _lane: make_acoustic(acoustic), ShadowPart(acoustic, make_acoustic)),
            StagePart(CLASSIFY_TEXT, lambda _lane: TextStage(text)),
        ],
        slots=[acoustic, text],
        checks={"acoustic classifier": lambda: acoustic.current.check()},
        add_rpc=partial(add, acoustic=acoustic, text=text),
        close=close,
    )
