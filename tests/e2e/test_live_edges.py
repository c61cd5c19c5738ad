"""Live diarization and a gRPC client without generated code, on real speech."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from websockets.asyncio.client import connect

from evaluation.metrics.words import word_errors
from tests.e2e.conftest import Embedded
from tests.e2e.streaming import pcm_of
from tests.unit.gateway.test_grpc_calls import Reflected

pytestmark = [pytest.mark.slow]

SAID = "i really liked that account of himself better than anything else he said"


def test_reflection_alone_streams_real_speech(embedded: Embedded, eval_data: Path) -> None:
    pcm, rate_hz = pcm_of(eval_data / "asr" / "librispeech-test-other" / "1688-142285-0003.flac")
    config = {"config": {"encoding": 1, "sample_rate_hertz": rate_hz, "enable_word_time_offsets": True}, "interim_results": True}
    requests: list[dict[str, Any]] = [{"streaming_config": config}]
    requests += [{"audio_content": pcm[at : at + 3200]} for at in range(0, len(pcm), 3200)]
    with grpc.insecure_channel(embedded.grpc) as channel:
        reflected = Reflected(channel, "v1")
        capabilities = {f"voxrelay.v1.{name}" for name in ("Enhancement", "Diarization", "Transcription", "Classification", "Synthesis")}
        assert capabilities <= reflected.services()
        answers = reflected.stream("voxrelay.v1.SpeechRecognition", "StreamingRecognize", requests)
    finals = [result for answer in answers for result in answer.results if result.is_final]
    assert word_errors(SAID, " ".join(final.alternatives[0].transcript for final in finals)).rate < 0.7
    assert finals[0].alternatives[0].words[0].end_time > 0


def test_a_timeline_of_two_speakers_grows_while_they_talk(embedded: Embedded, two_speakers: tuple[bytes, int]) -> None:
    pcm, rate_hz = two_speakers
    samples = np.frombuffer(pcm, dtype="<i2").astype("<f4") / 32768
    timeline: dict[str, list[dict[str, Any]]] = {}
    known_at: dict[str, float] = defaultdict(float)  # speaker: when the client first drew them, in seconds of audio sent

    def draw(message: dict[str, Any], at_s: float) -> None:
        for utterance_id in message["utterances"]:
            timeline[utterance_id] = []
        for segment in message["segments"]:
            timeline[segment["utterance_id"]].append(segment)
            known_at.setdefault(segment["speaker"], at_s)

    async def call() -> dict[str, Any]:
        url = embedded.url.replace("http", "ws", 1) + f"/ws/stream?sample_rate={rate_hz}&num_speakers=2"
        async with connect(url, compression=None, max_size=2**24) as socket:
            size = rate_hz // 10
            for sequence, at in enumerate(range(0, len(samples), size)):
                await socket.send(samples[at : at + size].tobytes())
                answer = json.loads(await socket.recv())
                assert (answer["type"], answer["sequence"]) == ("result", sequence)
                draw(answer, at / rate_hz)
                await asyncio.sleep(0.025)  # four times real time
            await socket.send(json.dumps({"type": "close_stream"}))
            async for text in socket:
                message: dict[str, Any] = json.loads(text)
                if message["type"] != "result":
                    return message
                draw(message, len(samples) / rate_hz)
        raise AssertionError("the connection ended without 'closed'")

    closed = asyncio.run(call())
    assert closed["type"] == "closed"
    assert closed["audio_seconds"] == pytest.approx(len(samples) / rate_hz, abs=0.1)
    segments = [segment for drawn in timeline.values() for segment in drawn]
    assert {segment["speaker"] for segment in segments} == {"S1", "S2"}
    assert all(segment["is_final"] for segment in segments)
    assert all(0 <= segment["start"] < segment["end"] <= len(samples) / rate_hz + 0.5 for segment in segments)
    assert known_at["S1"] < len(samples) / rate_hz / 2  # live, not at the end
