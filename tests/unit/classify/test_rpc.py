"""The call, over a real gRPC server, and how the service is put together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

pytest.importorskip("vaderSentiment", reason="the bundled engine is not installed: pip install 'voxrelay[classify]'")
pytest.importorskip("py3langid", reason="the bundled engine is not installed: pip install 'voxrelay[classify]'")

from services.classify.compose import compose
from services.classify.stage import AcousticStage, TextStage
from tests.unit.classify.voices import syllables_at
from voxrelay.audio import pcm_s16le_from_float32
from voxrelay.engines import EngineUnusable
from voxrelay.resampling import resample
from voxrelay.rpc import RpcServer
from voxrelay.service import Service
from voxrelay.settings import PlatformSettings
from voxrelay.v1 import events_pb2, services_pb2, services_pb2_grpc

VOICE = syllables_at(4.0, 2.0, 200.0)


@pytest.fixture(scope="module")
def service() -> Service:
    return compose(PlatformSettings())


@pytest.fixture(scope="module")
def stub(service: Service) -> Iterator[Any]:
    assert service.add_rpc is not None
    server = RpcServer("127.0.0.1", 0, [service.add_rpc])
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield services_pb2_grpc.ClassificationStub(channel)  # type: ignore[no-untyped-call]  # generated
    server.close(0.0)


def sound(rate_hz: int = 16_000) -> Any:
    return services_pb2.Audio(pcm_s16le=pcm_s16le_from_float32(resample(VOICE, 16_000, rate_hz)), sample_rate_hz=rate_hz)


def refusal(stub: Any, request: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(request)
    assert caught.value.details().endswith(".")
    return caught.value.code()


def test_the_call_has_its_name(service: Service) -> None:
    assert service.add_rpc is not None
    assert service.add_rpc(grpc.server(ThreadPoolExecutor(1))) == ["voxrelay.v1.Classification"]


def test_two_nodes_are_served(service: Service) -> None:
    assert [part.node.name for part in service.stages] == ["classify", "classify.text"]
    assert isinstance(service.stages[0].make("live"), AcousticStage)
    assert isinstance(service.stages[1].make("bulk"), TextStage)


def test_an_engine_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXRELAY_CLASSIFY_TEXT_ENGINE", "oracle")
    with pytest.raises(EngineUnusable, match="lexical"):
        compose(PlatformSettings())


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_audio_at_any_rate(stub: Any, rate_hz: int) -> None:
    answer = stub.Classify(services_pb2.ClassifyRequest(audio=sound(rate_hz)))
    found = {attribute.name: attribute for attribute in answer.attributes}
    assert found["pitch_hz"].number == pytest.approx(200.0, rel=0.002)
    assert found["pitch_hz"].unit == "Hz"
    assert found["gender"].label == "female"
    assert [engine.name for engine in answer.engines] == ["dsp"]


def test_text_alone(stub: Any) -> None:
    answer = stub.Classify(services_pb2.ClassifyRequest(text="i really love this wonderful service"))
    found = {attribute.name: attribute.label for attribute in answer.attributes if attribute.label}
    assert found["sentiment"] == "positive"
    assert found["language"] == "en"
    assert [engine.name for engine in answer.engines] == ["lexical"]


def test_audio_and_words_together(stub: Any) -> None:
    words = [events_pb2.Word(text=text, start_s=at, end_s=at + 0.4, confidence=0.9) for at, text in enumerate(("what", "a", "lovely", "day"))]
    answer = stub.Classify(services_pb2.ClassifyRequest(audio=sound(), words=words))
    names = [attribute.name for attribute in answer.attributes]
    assert {"pitch_hz", "sentiment", "words_per_minute"} <= set(names)
    assert len(set(names)) == len(names)
    assert [engine.name for engine in answer.engines] == ["dsp", "lexical"]


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (services_pb2.Audio(), grpc.StatusCode.INVALID_ARGUMENT),
        (services_pb2.Audio(pcm_s16le=b"\0\0", sample_rate_hz=7_999), grpc.StatusCode.INVALID_ARGUMENT),
        (services_pb2.Audio(pcm_s16le=b"\0", sample_rate_hz=8_000), grpc.StatusCode.INVALID_ARGUMENT),
        (services_pb2.Audio(pcm_s16le=bytes(2 * 8_000 * 61), sample_rate_hz=8_000), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_audio_that_cannot_be_served(stub: Any, audio: Any, code: grpc.StatusCode) -> None:
    assert refusal(stub, services_pb2.ClassifyRequest(audio=audio)) == code


def test_texts_that_cannot_be_served(stub: Any) -> None:
    assert refusal(stub, services_pb2.ClassifyRequest(text="a" * 20_001)) == grpc.StatusCode.RESOURCE_EXHAUSTED
    backwards = [events_pb2.Word(text="a", start_s=2.0, end_s=2.1), events_pb2.Word(text="b", start_s=1.0, end_s=1.1)]
    assert refusal(stub, services_pb2.ClassifyRequest(words=backwards)) == grpc.StatusCode.INVALID_ARGUMENT
    no_number = [events_pb2.Word(text="a", start_s=0.0, end_s=float("nan"))]
    assert refusal(stub, services_pb2.ClassifyRequest(words=no_number)) == grpc.StatusCode.INVALID_ARGUMENT


def test_over_ten_minutes_is_too_much(stub: Any) -> None:
    audio = services_pb2.Audio(pcm_s16le=np.zeros(8_000 * 601, dtype="<i2").tobytes(), sample_rate_hz=8_000)
    assert refusal(stub, services_pb2.ClassifyRequest(audio=audio)) == grpc.StatusCode.RESOURCE_EXHAUSTED
