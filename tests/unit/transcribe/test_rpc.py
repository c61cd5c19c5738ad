"""Transcription in one call, over a real port, with the scripted transcriber."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest

from services.transcribe.rpc import SERVICE, add
from tests.unit.transcribe.scripted import ScriptedTranscriber
from voxrelay.models.slot import EngineSlot
from voxrelay.rpc import RpcServer
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def stub() -> Iterator[Any]:
    server = RpcServer("127.0.0.1", 0, [partial(add, slot=EngineSlot("transcribe", ScriptedTranscriber()))])
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield services_pb2_grpc.TranscriptionStub(channel)  # type: ignore[no-untyped-call]
    server.close()


def _request(seconds: float, *spans: tuple[float, float], rate_hz: int = RATE_HZ, **fields: Any) -> Any:
    utterances = [events_pb2.UtteranceEnded(start_sample=int(a * RATE_HZ), end_sample=int(b * RATE_HZ)) for a, b in spans]
    audio = services_pb2.Audio(pcm_s16le=b"\x01\x00" * int(seconds * rate_hz), sample_rate_hz=rate_hz)
    return services_pb2.TranscribeRequest(audio=audio, utterances=utterances, **fields)


def _heard(answer: Any) -> list[tuple[float, float, int]]:
    """Start, end and the samples the engine got, in hundreds."""
    return [(segment.start_s, segment.end_s, int(segment.text.split()[0])) for segment in answer.segments]


def test_each_given_utterance_is_heard_whole_whatever_lies_between(stub: Any) -> None:
    answer = stub.Transcribe(_request(12.0, (0.0, 2.0), (4.0, 6.0), (10.0, 12.0)), timeout=20)
    assert _heard(answer) == [(0.0, 2.0, 320), (4.0, 6.0, 320), (10.0, 12.0, 320)]


def test_without_utterances_long_audio_is_cut_and_nothing_left_out(stub: Any) -> None:
    heard = _heard(stub.Transcribe(_request(50.0), timeout=20))
    assert len(heard) > 2
    assert heard[0][0] == 0.0
    assert heard[-1][1] == 50.0
    assert all(one[1] == other[0] for one, other in itertools.pairwise(heard))


def test_another_rate_and_the_vocabulary(stub: Any) -> None:
    answer = stub.Transcribe(_request(2.0, rate_hz=8_000, custom_vocabulary=["kenobi"]), timeout=20)
    assert _heard(answer) == [(0.0, 2.0, 320)]
    assert "kenobi" in answer.segments[0].text


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_request(0.0), grpc.StatusCode.INVALID_ARGUMENT),
        (_request(1.0, rate_hz=4_000), grpc.StatusCode.INVALID_ARGUMENT),
        (_request(1.0, (0.0, 2.0)), grpc.StatusCode.INVALID_ARGUMENT),
        (_request(3.0, (1.0, 2.0), (0.0, 1.0)), grpc.StatusCode.INVALID_ARGUMENT),
        (_request(1.0, language="tlh"), grpc.StatusCode.INVALID_ARGUMENT),
        (_request(601.0, rate_hz=8_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_what_cannot_be_served_says_why(stub: Any, request_: Any, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.Transcribe(request_, timeout=20)
    error: Any = refused.value
    assert error.code() is code
    assert error.details().endswith(".")


def test_the_service_is_named_for_reflection() -> None:
    assert SERVICE == "voxrelay.v1.Transcription"
