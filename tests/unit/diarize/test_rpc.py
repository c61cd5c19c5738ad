"""Diarization.Diarize over a real gRPC connection."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest

from services.diarize.clustering import ClusterRules
from services.diarize.rpc import SERVICE, add
from tests.unit.diarize.scripted import ScriptedEmbedder, voice
from voxrelay.audio import SAMPLE_RATE_HZ, pcm_s16le_from_float32
from voxrelay.models.slot import EngineSlot
from voxrelay.rpc import RpcServer
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

SECOND = SAMPLE_RATE_HZ


@pytest.fixture(scope="module")
def diarization() -> Iterator[Any]:
    server = RpcServer("127.0.0.1", 0, [partial(add, slot=EngineSlot("diarize", ScriptedEmbedder()), rules=lambda _: ClusterRules(0.5, 0.4))])
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield services_pb2_grpc.DiarizationStub(channel)
    server.close(0.0)


def _talk(speakers: list[int], length_s: int = 3, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """Each speaks so long; a voice is a tone, whatever the rate."""
    samples = [voice(speaker, 0, length_s * SECOND) for speaker in speakers]
    spoken = np.concatenate(samples)
    if rate_hz == 48_000:
        spoken = np.interp(np.arange(3 * spoken.size) / 3, np.arange(spoken.size), spoken).astype(np.float32)
    return pcm_s16le_from_float32(spoken)


def _request(pcm: bytes, rate_hz: int = SAMPLE_RATE_HZ, num_speakers: int = 0, spans: list[tuple[int, int]] | None = None) -> Any:
    utterances = [events_pb2.UtteranceEnded(utterance_id="same", start_sample=start, end_sample=end) for start, end in spans or []]
    return services_pb2.DiarizeRequest(
        audio=services_pb2.Audio(pcm_s16le=pcm, sample_rate_hz=rate_hz), num_speakers=num_speakers, utterances=utterances
    )


def _runs(answer: Any) -> list[tuple[str, int, int]]:
    return [(segment.speaker, round(segment.start_s), round(segment.end_s)) for segment in answer.segments]


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_all_audio_is_diarized_where_no_utterances_are_given(diarization: Any, rate_hz: int) -> None:
    answer = diarization.Diarize(_request(_talk([1, 2, 1], rate_hz=rate_hz), rate_hz))
    assert _runs(answer) == [("S1", 0, 3), ("S2", 3, 6), ("S1", 6, 9)]
    assert answer.engine.name == "scripted"
    assert all(0 <= segment.confidence <= 1 for segment in answer.segments)


def test_only_the_given_utterances_are_diarized_gaps_and_all(diarization: Any) -> None:
    spans = [(0, 2 * SECOND), (4 * SECOND, 6 * SECOND), (10 * SECOND, 12 * SECOND)]
    answer = diarization.Diarize(_request(_talk([1, 2, 3, 2]), spans=spans))
    assert _runs(answer) == [("S1", 0, 2), ("S2", 4, 6), ("S2", 10, 12)]


def test_the_number_of_speakers_is_never_exceeded(diarization: Any) -> None:
    answer = diarization.Diarize(_request(_talk([1, 2, 3, 1]), num_speakers=2))
    assert {segment.speaker for segment in answer.segments} == {"S1", "S2"}


def test_long_audio_is_one_conversation(diarization: Any) -> None:
    answer = diarization.Diarize(_request(_talk([1, 2, 1, 2], 20)))
    assert {segment.speaker for segment in answer.segments} == {"S1", "S2"}
    assert sum(segment.end_s - segment.start_s for segment in answer.segments) == pytest.approx(80.0)


@pytest.mark.parametrize(
    ("request_", "code", "what"),
    [
        (_request(bytes(320), 7_999), grpc.StatusCode.INVALID_ARGUMENT, "sample_rate_hz"),
        (_request(bytes(320), 96_000), grpc.StatusCode.INVALID_ARGUMENT, "sample_rate_hz"),
        (_request(b""), grpc.StatusCode.INVALID_ARGUMENT, "whole number"),
        (_request(bytes(321)), grpc.StatusCode.INVALID_ARGUMENT, "whole number"),
        (_request(bytes(320), num_speakers=101), grpc.StatusCode.INVALID_ARGUMENT, "num_speakers"),
        (_request(bytes(2 * 8_000 * 601), 8_000), grpc.StatusCode.RESOURCE_EXHAUSTED, "10 minutes"),
        (_request(bytes(3200), spans=[(0, 1601)]), grpc.StatusCode.INVALID_ARGUMENT, "within the audio"),
        (_request(bytes(3200), spans=[(0, 800), (700, 900)]), grpc.StatusCode.INVALID_ARGUMENT, "not overlap"),
        (_request(bytes(3200), spans=[(800, 800)]), grpc.StatusCode.INVALID_ARGUMENT, "in order"),
        (_request(bytes(2 * 61 * SECOND), spans=[(0, 61 * SECOND)]), grpc.StatusCode.INVALID_ARGUMENT, "60 seconds"),
        (_request(bytes(3200), spans=[(n, n + 1) for n in range(1001)]), grpc.StatusCode.RESOURCE_EXHAUSTED, "utterances"),
    ],
)
def test_what_cannot_be_served_says_why(diarization: Any, request_: Any, code: Any, what: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        diarization.Diarize(request_)
    assert caught.value.code() is code
    assert what in caught.value.details()


def test_the_service_is_named_for_reflection() -> None:
    assert services_pb2.DESCRIPTOR.services_by_name["Diarization"].full_name == SERVICE
