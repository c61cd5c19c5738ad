"""What can be set: variables ``VOXRELAY_CLASSIFY_<NAME>``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class ClassifySettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_CLASSIFY_", extra="ignore", frozen=True)

    acoustic_engine: str = Field("dsp", description="which engine hears utterances: dsp, onnx or speechbrain")
    model: str = Field("", description="the registry's name of the model that it hears with; the last two need one")
    text_engine: str = Field("lexical", description="which engine reads their words")
    interim_every_ms: int = Field(0, ge=0, le=30_000, description="audio between two interim results of an utterance; 0 for finals alone")
