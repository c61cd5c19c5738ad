"""What can be set: variables ``VOXRELAY_DENOISE_<NAME>``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class DenoiseSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_DENOISE_", extra="ignore", frozen=True)

    engine: str = Field("omlsa", description="what suppresses noise: omlsa, dtln, gtcrn or passthrough")
    model: str = Field("", description="the registry's name of the model of dtln or gtcrn; empty for the one of the same name")
    detector: str = Field("silero", description="what tells speech: silero")
    detector_model: str = Field("silero-vad", description="the registry's name of the detector's model")
    full_below_db: float = Field(
        15.0, ge=-20, le=60, description="estimated signal-to-noise ratio up to which suppression is as strong as it gets by itself"
    )
    none_above_db: float = Field(22.0, ge=-20, le=60, description="estimated signal-to-noise ratio from which audio passes untouched")
    strength: float = Field(0.6, ge=0, le=1, description="how strong suppression gets by itself; a session may ask for another")
    onset: float = Field(0.5, gt=0, lt=1, description="speech probability at which speech sets in")
    offset: float = Field(0.35, gt=0, lt=1, description="speech probability at which speech still goes on")
    shortest_speech_ms: int = Field(96, ge=32, le=500, description="unbroken speech that begins an utterance")
    before_ms: int = Field(300, ge=0, le=300, description="audio before the speech that belongs to the utterance")
    after_ms: int = Field(200, ge=0, le=1000, description="audio after the speech that belongs to the utterance")
    pause_ms: int = Field(500, ge=100, le=5000, description="silence that ends an utterance, where the session sets none")
    soft_length_s: float = Field(20.0, ge=1, le=30, description="length from which shorter pauses end an utterance")
    longest_s: float = Field(30.0, ge=2, le=30, description="length at which an utterance is cut")
