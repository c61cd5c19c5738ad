"""Puts the service together: settings, engine, stage, calls."""

from __future__ import annotations

from functools import partial
from typing import cast

from services.transcribe.engine import ENGINES, Transcriber
from services.transcribe.rpc import add
from services.transcribe.settings import TranscribeSettings
from services.transcribe.stage import TranscribeStage
from voxrelay.engines import load
from voxrelay.events import Lane
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import TRANSCRIBE


def compose(platform: PlatformSettings) -> Service:  # noqa: ARG001  # the same shape for all services; this one needs nothing of the platform
    """Starts the engine. Raises ``EngineUnusable`` when it cannot be used here."""
    settings = load_settings(TranscribeSettings)
    transcriber = cast(
        Transcriber,
        load(
            "transcribe",
            ENGINES,
            settings.engine,
            workers=settings.workers,
            followed=settings.followed,
            beam_hmms=settings.beam_hmms,
            boost=settings.boost,
            vocabularies=settings.vocabularies,
        ),
    )

    def make(lane: Lane) -> TranscribeStage:
        return TranscribeStage(transcriber, interim_every_ms=settings.interim_every_ms, is_urgent=lane == "live")

    return Service(
        name="transcribe",
        stages=[StagePart(TRANSCRIBE, make)],
        add_rpc=partial(add, transcriber=transcriber),
        checks={"transcriber": transcriber.check},
        close=transcriber.close,
        engines={TRANSCRIBE.name: transcriber.engine},
        models=(f"{transcriber.engine.name}:{transcriber.engine.version}",),
    )
