"""Puts the service together: settings, engines, stages, calls."""

from __future__ import annotations

from functools import partial
from typing import cast

from services.classify.engine import ACOUSTIC_ENGINES, TEXT_ENGINES, AcousticClassifier, TextClassifier
from services.classify.rpc import add
from services.classify.settings import ClassifySettings
from services.classify.stage import AcousticStage, TextStage
from voxrelay.engines import load
from voxrelay.events import Lane
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import CLASSIFY, CLASSIFY_TEXT


def compose(platform: PlatformSettings) -> Service:  # noqa: ARG001  # the same shape for all services; this one needs nothing of the platform
    """Loads both engines. Raises ``EngineUnusable`` when one cannot be used here."""
    settings = load_settings(ClassifySettings)
    acoustic = cast(AcousticClassifier, load("classify", ACOUSTIC_ENGINES, settings.acoustic_engine))
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
