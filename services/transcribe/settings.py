"""What can be set: variables ``VOXRELAY_TRANSCRIBE_<NAME>``."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


def _default_workers() -> int:
    return min(2, os.cpu_count() or 1)


class TranscribeSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_TRANSCRIBE_", extra="ignore", frozen=True)

    engine: str = Field("pocketsphinx", description="which engine transcribes")
    interim_every_ms: int = Field(300, ge=100, le=10_000, description="audio between two interim results of an utterance")
    workers: int = Field(default_factory=_default_workers, ge=1, le=64, description="worker processes of the bundled engine")
    followed: int = Field(2, ge=1, le=16, description="utterances a worker can give interims for at once; 95 MB each, taken when needed")
    beam_hmms: int = Field(3000, ge=100, le=100_000, description="how many states the bundled engine's search keeps; more is slower and better")
    boost: float = Field(30.0, gt=0, le=10_000, description="how much likelier a word of the custom vocabulary is than an average word")
    vocabularies: int = Field(1, ge=1, le=64, description="custom vocabularies kept ready in each recogniser; 65 MB each, 0.2 s to make again")
