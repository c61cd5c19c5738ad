"""What can be set: variables ``VOXRELAY_SYNTH_<NAME>``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class SynthSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_SYNTH_", extra="ignore", frozen=True)

    engine: str = Field("espeak", description="which engine speaks")
    workers: int = Field(1, ge=1, le=64, description="worker processes of the bundled engine; calls side by side use one each")
    piece_ms: int = Field(200, ge=20, le=1_000, description="audio in one published piece")
    max_characters: int = Field(100_000, ge=1, le=10_000_000, description="text of one request; the gateway has a lower limit of its own")
