"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from services.synth.engine import ENGINES, EXTRAS, Synthesizer
from services.synth.rpc import add
from services.synth.settings import SynthSettings
from services.synth.stage import SynthStage
from voxrelay.engines import load
from voxrelay.models.registry import ModelRegistry
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import SYNTH

RECOMMENDED = {"piper": "piper-en-us-joe"}  # the model an engine takes where no other is named


def configured_synthesizer(platform: PlatformSettings, settings: SynthSettings) -> Synthesizer:
    """What the settings name, with its model where it needs one. Raises ``EngineUnusable``."""
    name, options = settings.model or RECOMMENDED.get(settings.engine, ""), dict[str, Any](workers=settings.workers)
    if name:
        registry = ModelRegistry(platform.models)
        options |= {"weights": registry.path(name), "model_digest": registry.digest(name)}
        options |= {"provider": platform.onnx_provider, "threads": platform.threads_per_engine}
    return cast(Synthesizer, load("synth", ENGINES, settings.engine, extra=EXTRAS.get(settings.engine, ""), **options))


def compose(platform: PlatformSettings) -> Service:
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(SynthSettings)
    synthesizer = configured_synthesizer(platform, settings)
    return Service(
        name="synth",
        stages=[StagePart(SYNTH, lambda _lane: SynthStage(synthesizer, piece_ms=settings.piece_ms, max_characters=settings.max_characters))],
        add_rpc=partial(add, synthesizer=synthesizer),
        checks={"synthesizer": synthesizer.check},
        close=synthesizer.close,
        engines={SYNTH.name: synthesizer.engine},
        models=tuple(voice.name for voice in synthesizer.voices()),
    )
