"""What can be set: variables ``VOXRELAY_DIARIZE_<NAME>``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class DiarizeSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_DIARIZE_", extra="ignore", frozen=True)

    engine: str = Field("ge2e", description="what tells voices apart: ge2e, pyannote or speechbrain")
    model: str = Field("", description="the registry's name of the model; empty for the recommended one")
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="cosine distance from which two voices are two speakers, lower finds more; empty: the model's own (ge2e 0.37)",
    )
    threshold_when_told: float | None = Field(
        None, gt=0, lt=1, description="the same in sessions that say how many speakers there are; empty: the model's own (ge2e 0.30)"
    )
    shortest_speaker_ms: int = Field(2000, ge=0, le=60_000, description="who speaks less in all is taken for the most similar of the other speakers")
    interim_every_ms: int = Field(1000, ge=200, le=10_000, description="audio between two interim results of an utterance")
    kept_windows: int = Field(300, ge=10, le=2000, description="windows of a session that are thought over again with every utterance")
    kept_utterances: int = Field(50, ge=1, le=1000, description="how many of the latest utterances may still be revised")
