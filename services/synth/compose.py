"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.synth.engine import ENGINES, EXTRAS, Sentence, Synthesizer
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

RECOMMENDED = {"piper": "piper-en-us-joe"}  # the model an engine takes where no other is named


def synthesizer(platform: PlatformSettings, settings: SynthSettings, engine: str, **options: Any) -> Synthesizer:
    runtime = platform.engine_runtime if engine in RECOMMENDED else {}
    return cast(Synthesizer, load("synth", ENGINES, engine, extra=EXTRAS.get(engine, ""), **{"workers": settings.workers, **runtime, **options}))


def configured_synthesizer(platform: PlatformSettings, settings: SynthSettings) -> Synthesizer:
    """What the settings name, with its model where it needs one. Raises ``EngineUnusable``."""
    name, options = settings.model or RECOMMENDED.get(settings.engine, ""), dict[str, Any]()
    if name:
        registry = ModelRegistry(platform.models)
        options = {"weights": registry.path(name), "model_digest": registry.digest(name), **registry.entry(name).options}
    return synthesizer(platform, settings, settings.engine, **options)


def model(platform: PlatformSettings, settings: SynthSettings, name: str) -> Synthesizer:
    """The engine of a model in the registry, warm. Raises ``EngineUnusable``."""
    return load_model(ModelRegistry(platform.models), "synth", name, partial(synthesizer, platform, settings), _speak)


def _speak(made: Synthesizer) -> None:
    made.speak([Sentence("1 2 3", made.voices()[0].name)])


def compose(platform: PlatformSettings) -> Service:
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(SynthSettings)
    configured = configured_synthesizer(platform, settings)
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
