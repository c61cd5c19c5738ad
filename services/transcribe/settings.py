"""What can be set: variables ``VOXRELAY_TRANSCRIBE_<NAME>``."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


def _default_workers() -> int:
    return min(2, os.cpu_count() or 1)


class TranscribeSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_TRANSCRIBE_", extra="ignore", frozen=True)

    engine: str = Field("pocketsphinx", description="which engine transcribes: pocketsphinx, faster-whisper or sherpa-onnx")
    model: str = Field("", description="the registry's name of the model, for engines that need one; empty for the recommended one")
    interim_every_ms: int = Field(250, ge=100, le=10_000, description="audio between two interim results of an utterance")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="what faster-whisper runs on: auto, cpu or cuda")
    compute: str = Field("default", description="arithmetic of faster-whisper: default (as its weights are), int8, int8_float16, float16 or float32")
    batch: int = Field(8, ge=1, le=128, description="utterances in one call of faster-whisper or sherpa-onnx; more is faster on a GPU")
    beam: int = Field(5, ge=1, le=20, description="width of faster-whisper's search for finals; interims take 1")
    task: Literal["transcribe", "translate"] = Field(
        "transcribe", description="what a multilingual Whisper writes: transcribe (as it is spoken) or translate (into English)"
    )
    workers: int = Field(
        default_factory=_default_workers,
        ge=1,
        le=64,
        description="worker processes of the bundled engine (as many again for files, once one comes), or of sherpa-onnx",
    )
    followed: int = Field(4, ge=1, le=16, description="utterances a worker can give interims for at once; 55 MB each, taken when needed")
    words: int = Field(20_000, ge=100, le=200_000, description="words the bundled engine listens for, the most frequent ones; more is slower")
    beam_hmms: int = Field(3000, ge=100, le=100_000, description="how many states the bundled engine's search keeps; more is slower and better")
    boost: float = Field(30.0, gt=0, le=10_000, description="how much likelier a word of the custom vocabulary is than an average word")
    vocabularies: int = Field(1, ge=1, le=64, description="custom vocabularies kept ready in each recogniser; 45 MB each, 0.2 s to make again")
