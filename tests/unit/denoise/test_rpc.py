"""Enhancement.Enhance over a real gRPC connection."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest

from services.denoise.rpc import SERVICE, add
from tests.unit.denoise.speechlike import bursts, scripted_front_end
from voxrelay.audio import pcm_s16le_from_float32
from voxrelay.rpc import RpcServer
from voxrelay.v1 import services_pb2, services_pb2_grpc


@pytest.fixture(scope="module")
def enhancement() -> Iterator[Any]:
    server = RpcServer("127.0.0.1", 0, [partial(add, front_end=scripted_front_end())])
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield services_pb2_grpc.EnhancementStub(channel)
    server.close(0.0)


def _request(pcm: bytes, rate_hz: int, strength: float | None = None) -> Any:
    return services_pb2.EnhanceRequest(audio=services_pb2.Audio(pcm_s16le=pcm, sample_rate_hz=rate_hz), noise_suppression=strength)


def test_cleaned_audio_and_utterances_come_back(enhancement: Any) -> None:
    samples = bursts([(0.8, 1.0), (1.0, 1.5), (0.7, 0.0)], sample_rate_hz=48_000, noise_dbfs=-40.0)
    answer = enhancement.Enhance(_request(pcm_s16le_from_float32(samples), 48_000))
    assert answer.audio.sample_rate_hz == 16_000
    assert len(answer.audio.pcm_s16le) == 2 * 5 * 16_000
    assert [utterance.utterance_id for utterance in answer.utterances] == ["u1", "u2"]
    first, second = answer.utterances
    assert first.start_sample < 0.8 * 16_000 < first.end_sample < second.start_sample < 2.8 * 16_000 < second.end_sample < 5 * 16_000
    assert (answer.engine.name, answer.engine.version) == ("omlsa", "2")


def test_no_suppression_gives_the_audio_back(enhancement: Any) -> None:
    pcm = pcm_s16le_from_float32(bursts([(0.5, 0.5)], noise_dbfs=-30.0))
    assert enhancement.Enhance(_request(pcm, 16_000, 0.0)).audio.pcm_s16le == pcm
    assert enhancement.Enhance(_request(pcm, 16_000, 1.0)).audio.pcm_s16le != pcm


@pytest.mark.parametrize(
    ("pcm", "rate_hz", "strength", "code", "what"),
    [
        (bytes(320), 7_999, None, grpc.StatusCode.INVALID_ARGUMENT, "sample_rate_hz"),
        (bytes(320), 96_000, None, grpc.StatusCode.INVALID_ARGUMENT, "sample_rate_hz"),
        (b"", 16_000, None, grpc.StatusCode.INVALID_ARGUMENT, "whole number"),
        (bytes(321), 16_000, None, grpc.StatusCode.INVALID_ARGUMENT, "whole number"),
        (bytes(320), 16_000, 1.5, grpc.StatusCode.INVALID_ARGUMENT, "noise_suppression"),
        (bytes(2 * 8_000 * 601), 8_000, None, grpc.StatusCode.RESOURCE_EXHAUSTED, "10 minutes"),
    ],
)
def test_what_cannot_be_served_says_why(enhancement: Any, pcm: bytes, rate_hz: int, strength: float | None, code: Any, what: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        enhancement.Enhance(_request(pcm, rate_hz, strength))
    assert caught.value.code() is code
    assert what in caught.value.details()


def test_the_service_is_named_for_reflection() -> None:
    assert services_pb2.DESCRIPTOR.services_by_name["Enhancement"].full_name == SERVICE
