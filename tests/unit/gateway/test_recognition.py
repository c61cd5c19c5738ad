"""gRPC recognition with the generated client: streaming, unary, keys, health, reflection, bad input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.gateway.server import GatewayServer
from tests.unit.gateway.test_native import RATE_HZ, SECOND, _wav
from voxrelay.storage.access import AccessStore
from voxrelay.v1 import services_pb2, services_pb2_grpc

LINEAR = services_pb2.RecognitionConfig(
    encoding=services_pb2.LINEAR_PCM,
    sample_rate_hertz=RATE_HZ,
    diarization_config=services_pb2.SpeakerDiarizationConfig(enable_speaker_diarization=True),
    enable_attributes=True,
    custom_vocabulary=["kenobi"],
)


def _stub(gateway: GatewayServer) -> services_pb2_grpc.SpeechRecognitionStub:
    return services_pb2_grpc.SpeechRecognitionStub(grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}"))


def _requests(*audio: bytes, config: Any = LINEAR, interims: bool = True) -> Iterator[services_pb2.StreamingRecognizeRequest]:
    yield services_pb2.StreamingRecognizeRequest(streaming_config=services_pb2.StreamingRecognitionConfig(config=config, interim_results=interims))
    for chunk in audio:
        yield services_pb2.StreamingRecognizeRequest(audio_content=chunk)


def test_streaming_gives_interims_and_finals_with_speakers_and_attributes(gateway: GatewayServer) -> None:
    answers = list(_stub(gateway).StreamingRecognize(_requests(*[SECOND] * 2), timeout=20))
    results = [result for answer in answers for result in answer.results]
    finals = [result for result in results if result.is_final]
    assert any(not result.is_final for result in results)
    assert [final.alternatives[0].transcript for final in finals] == ["hello u1 kenobi", "hello u2 kenobi"]
    assert [(final.alternatives[0].words[0].speaker_tag, final.alternatives[0].words[0].speaker) for final in finals] == [(1, "S1"), (2, "S2")]
    assert {attribute.name for attribute in finals[0].attributes} == {"gender", "pitch", "sentiment"}
    assert len({answer.session_id for answer in answers}) == 1


def test_a_container_streams_too(gateway: GatewayServer) -> None:
    config = services_pb2.RecognitionConfig()
    answers = list(_stub(gateway).StreamingRecognize(_requests(_wav(), config=config, interims=False), timeout=20))
    assert [result.alternatives[0].transcript for answer in answers for result in answer.results][:1] == ["hello u1"]


@pytest.mark.parametrize("config", [LINEAR, services_pb2.RecognitionConfig()])
def test_unary(gateway: GatewayServer, config: services_pb2.RecognitionConfig) -> None:
    audio = SECOND * 2 if config.encoding else _wav()
    answer = _stub(gateway).Recognize(services_pb2.RecognizeRequest(config=config, audio=audio), timeout=20)
    assert answer.results[0].alternatives[0].transcript.startswith("hello u1")
    assert answer.audio_seconds >= 1.0


def _code(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as failure:
        call()
    error: Any = failure.value
    return error.code(), dict(error.trailing_metadata() or ()).get("voxrelay-error-code", "")


def test_bad_input(gateway: GatewayServer) -> None:
    stub = _stub(gateway)
    audio_first = iter([services_pb2.StreamingRecognizeRequest(audio_content=b"x")])
    assert _code(lambda: list(stub.StreamingRecognize(audio_first, timeout=10))) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_MESSAGE")
    slow = services_pb2.RecognitionConfig(encoding=services_pb2.LINEAR_PCM, sample_rate_hertz=4000)
    assert _code(lambda: list(stub.StreamingRecognize(_requests(config=slow), timeout=10)))[1] == "UNSUPPORTED_SAMPLE_RATE"
    assert _code(lambda: stub.Recognize(services_pb2.RecognizeRequest(), timeout=10))[1] == "EMPTY_AUDIO"
    text = services_pb2.RecognizeRequest(audio=b"this is no audio at all, not even nearly")
    assert _code(lambda: stub.Recognize(text, timeout=10))[1] == "INVALID_AUDIO_FORMAT"
    noise = b"this is no container, it is a poem and it is long enough to be read"
    assert _code(lambda: list(stub.StreamingRecognize(_requests(noise, config=services_pb2.RecognitionConfig()), timeout=10)))[1]


def test_a_stage_that_never_answers_is_named(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("diarize",), stage_timeout_s=0.5, join_wait_s=0.1)
    with pytest.raises(grpc.RpcError) as failure:
        list(_stub(gateway).StreamingRecognize(_requests(SECOND), timeout=20))
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "diarize" in error.details()


def test_keys_guard_every_call_but_health(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    _, secret = access.create_key("somebody", "enterprise")
    gateway = make_gateway(database_url=access.url)
    stub = _stub(gateway)
    assert _code(lambda: list(stub.StreamingRecognize(_requests(SECOND), timeout=10)))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert _code(lambda: stub.Recognize(services_pb2.RecognizeRequest(), timeout=10))[0] is grpc.StatusCode.UNAUTHENTICATED
    answers = list(stub.StreamingRecognize(_requests(SECOND), timeout=20, metadata=(("authorization", f"Bearer {secret}"),)))
    assert answers
    health = health_pb2_grpc.HealthStub(grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}"))
    assert health.Check(health_pb2.HealthCheckRequest(service="voxrelay.v1.SpeechRecognition"), timeout=5).status == 1


def test_reflection_lists_the_service(gateway: GatewayServer) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}"))
    answer = next(iter(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5)))
    assert "voxrelay.v1.SpeechRecognition" in {service.name for service in answer.list_services_response.service}
