"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import cast

from services.synth.engine import ENGINES, Synthesizer
from services.synth.rpc import add
from services.synth.settings import SynthSettings
from services.synth.stage import SynthStage
from voxrelay.engines import load
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import SYNTH


def compose(platform: PlatformSettings) -> Service:  # noqa: ARG001  # the same shape for all services; this one needs nothing of the platform
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(SynthSettings)
    synthesizer = cast(Synthesizer, load("synth", ENGINES, settings.engine, workers=settings.workers))
    return Service(
        name="synth",
        stages=[StagePart(SYNTH, lambda _lane: SynthStage(synthesizer, piece_ms=settings.piece_ms, max_characters=settings.max_characters))],
        add_rpc=partial(add, synthesizer=synthesizer),
        checks={"synthesizer": synthesizer.check},
        close=synthesizer.close,
        engines={SYNTH.name: synthesizer.engine},
        models=tuple(voice.name for voice in synthesizer.voices()),
    )
