"""NVIDIA's own Riva client, unmodified, against the platform on real speech."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from evaluation.metrics.words import word_errors
from tests.e2e.clients.environments import run_flow
from tests.e2e.conftest import Embedded
from tests.e2e.streaming import pcm_of

pytestmark = [pytest.mark.slow]

SAID = "i really liked that account of himself better than anything else he said"


@pytest.mark.conformance("grpc", "client nvidia-riva-client 2.27.0", "done", "StreamingRecognize, Recognize, GetRivaSpeechRecognitionConfig")
def test_streaming_and_offline_recognition(embedded: Embedded, eval_data: Path, tmp_path: Path) -> None:
    pcm, rate_hz = pcm_of(eval_data / "asr" / "librispeech-test-other" / "1688-142285-0003.flac")
    path = tmp_path / "clip.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
    seen = run_flow("nvidia-riva-client-2.27.0", "riva_asr", embedded.grpc, str(path))
    assert seen["languages"] == ["en"]
    assert seen["interims"] > 0
    for transcripts in (seen["finals"], seen["offline"]):
        assert word_errors(SAID, " ".join(transcripts).lower().replace(".", "").replace(",", "")).rate < 0.7
    starts = [start for _, start, _, _ in seen["words"]]
    assert starts == sorted(starts)
    assert 3000 < max(end for _, _, end, _ in seen["words"]) < len(pcm) / 2 / rate_hz * 1000 + 100  # milliseconds
    assert {tag for *_, tag in seen["words"]} == {1}
    assert seen["audio_processed"][-1] > 3
    assert seen["refusal"] == "INVALID_ARGUMENT"
