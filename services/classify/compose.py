"""Puts the service together: settings, engines, stages, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.classify.engine import ACOUSTIC_ENGINES, EXTRAS, TEXT_ENGINES, AcousticClassifier, TextClassifier
from services.classify.rpc import add
from services.classify.settings import ClassifySettings
from services.classify.stage import AcousticStage, TextStage
from voxrelay.engines import EngineUnusable, load
from voxrelay.events import Lane
from voxrelay.models.registry import ModelRegistry
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import CLASSIFY, CLASSIFY_TEXT


def configured_acoustic(platform: PlatformSettings, settings: ClassifySettings) -> AcousticClassifier:
    """What the settings name, with its model where it needs one. Raises ``EngineUnusable``."""
    engine, options = settings.acoustic_engine, dict[str, Any]()
    if settings.model:
        registry = ModelRegistry(platform.models)
        options = {"weights": registry.path(settings.model), "model_digest": registry.digest(settings.model)}
        options |= {"provider": platform.onnx_provider, "threads": platform.threads_per_engine, **registry.entry(settings.model).options}
    elif engine in EXTRAS:
        raise EngineUnusable(f"The engine '{engine}' needs a model: name one of the registry in VOXRELAY_CLASSIFY_MODEL.")
    return cast(AcousticClassifier, load("classify", ACOUSTIC_ENGINES, engine, extra=EXTRAS.get(engine, ""), **options))


def compose(platform: PlatformSettings) -> Service:
    """Loads both engines. Raises ``EngineUnusable`` when one cannot be used here."""
    settings = load_settings(ClassifySettings)
    acoustic = configured_acoustic(platform, settings)
    text = cast(TextClassifier, load("classify", TEXT_ENGINES, settings.text_engine))

    def make_acoustic(lane: Lane) -> AcousticStage:  # noqa: ARG001  # both lanes are served alike
        return AcousticStage(acoustic, interim_every_ms=settings.interim_every_ms)

    def make_text(lane: Lane) -> TextStage:  # noqa: ARG001  # both lanes are served alike
        return TextStage(text)

    return Service(
        name="classify",
        stages=[StagePart(CLASSIFY, make_acoustic), StagePart(CLASSIFY_TEXT, make_text)],
        add_rpc=partial(add, acoustic=acoustic, text=text),
        engines={CLASSIFY.name: acoustic.engine, CLASSIFY_TEXT.name: text.engine},
    )
