"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.synth.engine import ENGINES, Sentence, Synthesizer
from services.synth.rpc import add
from services.synth.settings import SynthSettings
from services.synth.stage import SynthStage
from voxrelay.engines import load
from voxrelay.models.loading import load_model
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import SYNTH


def synthesizer(settings: SynthSettings, engine: str, **options: Any) -> Synthesizer:
    return cast(Synthesizer, load("synth", ENGINES, engine, **{"workers": settings.workers, **options}))


def model(platform: PlatformSettings, settings: SynthSettings, name: str) -> Synthesizer:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    return load_model(ModelRegistry(platform.models), "synth", name, partial(synthesizer, settings), _speak)


def _speak(made: Synthesizer) -> None:
    made.speak([Sentence("1 2 3", made.voices()[0].name)])


def compose(platform: PlatformSettings) -> Service:
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(SynthSettings)
    configured = synthesizer(settings, settings.engine)
    slot = EngineSlot("synth", configured, partial(model, platform, settings))
    return Service(
        name="synth",
        stages=[StagePart(SYNTH, lambda _lane: SynthStage(slot, piece_ms=settings.piece_ms, max_characters=settings.max_characters))],
        slots=[slot],
        add_rpc=partial(add, slot=slot),
        checks={"synthesizer": lambda: slot.current.check()},
        close=slot.close,
        models=tuple(voice.name for voice in configured.voices()),
    )
