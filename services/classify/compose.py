"""Puts the service together: settings, engines, stages, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

from services.classify.engine import ACOUSTIC_ENGINES, TEXT_ENGINES, AcousticClassifier, TextClassifier, TranscribedText
from services.classify.rpc import add
from services.classify.settings import ClassifySettings
from services.classify.stage import AcousticStage, TextStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.engines import load
from voxrelay.events import Lane
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import CLASSIFY, CLASSIFY_TEXT


def acoustic_classifier(engine: str, **options: Any) -> AcousticClassifier:
    return cast(AcousticClassifier, load("classify", ACOUSTIC_ENGINES, engine, **options))


def text_classifier(engine: str, **options: Any) -> TextClassifier:
    return cast(TextClassifier, load("classify", TEXT_ENGINES, engine, **options))


def acoustic_model(platform: PlatformSettings, name: str) -> AcousticClassifier:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    silence = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    return load_model(ModelRegistry(platform.models), "classify", name, acoustic_classifier, lambda made: made.classify([silence]))


def text_model(platform: PlatformSettings, name: str) -> TextClassifier:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    said = TranscribedText("Good morning.", language="en")
    return load_model(ModelRegistry(platform.models), "classify-text", name, text_classifier, lambda made: made.classify([said]))


def compose(platform: PlatformSettings) -> Service:
    """Loads both engines. Raises ``EngineUnusable`` when one cannot be used here."""
    settings = load_settings(ClassifySettings)
    acoustic = EngineSlot("classify", acoustic_classifier(settings.acoustic_engine), partial(acoustic_model, platform))
    text = EngineSlot("classify-text", text_classifier(settings.text_engine), partial(text_model, platform))

    def make_acoustic(lane: Lane) -> AcousticStage:  # noqa: ARG001  # both lanes are served alike
        return AcousticStage(acoustic, interim_every_ms=settings.interim_every_ms)

    def make_text(lane: Lane) -> TextStage:  # noqa: ARG001  # both lanes are served alike
        return TextStage(text)

    def close() -> None:
        acoustic.close()
        text.close()

    return Service(
        name="classify",
        stages=[StagePart(CLASSIFY, make_acoustic), StagePart(CLASSIFY_TEXT, make_text)],
        slots=[acoustic, text],
        add_rpc=partial(add, acoustic=acoustic, text=text),
        close=close,
    )
