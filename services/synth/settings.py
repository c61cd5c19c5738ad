"""What can be set: variables ``VOXRELAY_SYNTH_<NAME>``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class SynthSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_SYNTH_", extra="ignore", frozen=True)

    engine: str = Field("espeak", description="what speaks: espeak or piper")
    model: str = Field("", description="the registry's name of the voice, for engines that need one; empty for the recommended one")
    workers: int = Field(1, ge=1, le=64, description="sentences spoken side by side: processes of espeak, threads of piper")
    piece_ms: int = Field(200, ge=20, le=1000, description="audio in one piece, at most")
    max_characters: int = Field(100_000, ge=1, description="text of one request, at most")
