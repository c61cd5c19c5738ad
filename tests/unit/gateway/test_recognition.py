"""gRPC recognition with the generated client: streaming, unary, keys, what the configuration asks for, bad input."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.gateway import errors
from services.gateway.protocols import recognition_messages
from services.gateway.protocols.recognition_errors import _details
from services.gateway.server import GatewayServer
from services.gateway.wording.wording import Wording, WrittenWord
from tests.unit.gateway import conftest
from tests.unit.gateway.test_native import RATE_HZ, SECOND, _wav
from voxrelay.errors import Refused
from voxrelay.events import SessionConfig, UtteranceEnded
from voxrelay.storage.access import AccessStore
from voxrelay.v1 import riva_pb2, riva_pb2_grpc, services_pb2, services_pb2_grpc

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


@pytest.mark.conformance("grpc", "call SpeechRecognition/StreamingRecognize", "done")
@pytest.mark.conformance("grpc", "field interim_results", "done")
@pytest.mark.conformance("grpc", "field diarization_config.enable_speaker_diarization", "done")
@pytest.mark.conformance("grpc", "field enable_attributes", "done", "ours")
@pytest.mark.conformance("grpc", "field custom_vocabulary", "done", "ours")
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


@pytest.mark.conformance("grpc", "call SpeechRecognition/Recognize", "done")
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


# --- what the configuration asks for -----------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SessionConfig]:
    """What the transcribe stage is told, utterance by utterance."""
    seen: list[SessionConfig] = []
    plain = conftest.transcribe

    def transcribe(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
        seen.append(config)
        return plain(ended, config)

    monkeypatch.setattr(conftest, "transcribe", transcribe)
    return seen


def _finals(answers: Sequence[Any]) -> list[Any]:
    return [result for answer in answers for result in answer.results if result.is_final]


def _linear(**more: Any) -> Any:
    return services_pb2.RecognitionConfig(encoding=services_pb2.LINEAR_PCM, **more)


@pytest.mark.conformance("grpc", "field speech_contexts", "done", "phrases are preferred; how much a boost weighs is the engine's business")
@pytest.mark.conformance("grpc", "field diarization_config.max_speaker_count", "done")
@pytest.mark.conformance("grpc", "field endpointing_config.stop_history", "done", "the pause that ends an utterance")
@pytest.mark.conformance("grpc", "field custom_configuration", "done", "parameters of the native protocol by name")
@pytest.mark.conformance("grpc", "field disable_vad", "done", "ours")
@pytest.mark.conformance("grpc", "field audio_channel_count", "done")
@pytest.mark.conformance("grpc", "field sample_rate_hertz", "done")
@pytest.mark.conformance("grpc", "field language_code", "done")
@pytest.mark.conformance("grpc", "field model", "done", "selects the engine in use")
def test_every_field_reaches_the_session(make_gateway: Callable[..., GatewayServer], asked: list[SessionConfig]) -> None:
    config = _linear(
        sample_rate_hertz=8000,
        audio_channel_count=2,
        language_code="en-US",
        model="parakeet",
        speech_contexts=[services_pb2.SpeechContext(phrases=["green gables", "avonlea"], boost=20), services_pb2.SpeechContext(phrases=["matthew"])],
        diarization_config=services_pb2.SpeakerDiarizationConfig(enable_speaker_diarization=True, max_speaker_count=2),
        endpointing_config=services_pb2.EndpointingConfig(stop_history=800, start_threshold=0.3),
        custom_configuration={"noise_suppression": "0.5", "keep_audio": "false"},
        disable_vad=True,
    )
    answers = list(_stub(make_gateway()).StreamingRecognize(_requests(SECOND, config=config), timeout=20))
    assert _finals(answers)[0].alternatives[0].transcript == "hello u1 green gables avonlea matthew"
    known = asked[0]
    assert (known.sample_rate_hz, known.channels, known.language, known.model) == (8000, 2, "en-US", "parakeet")
    assert known.custom_vocabulary == ("green gables", "avonlea", "matthew")
    assert (known.num_speakers, known.pause_ms, known.vad_enabled) == (2, 800, False)
    assert (known.noise_suppression, known.keep_audio) == (0.5, False)
    assert known.stages == ("denoise", "diarize", "transcribe")


@pytest.mark.conformance("grpc", "field enable_word_time_offsets", "done", "diarization brings words too")
def test_words_come_where_they_are_asked_for_and_with_speakers(gateway: GatewayServer) -> None:
    def words(config: Any) -> list[tuple[str, int, int, int]]:
        (final,) = _finals(list(_stub(gateway).StreamingRecognize(_requests(SECOND, config=config), timeout=20)))
        return [(word.word, word.start_time, word.end_time, word.speaker_tag) for word in final.alternatives[0].words]

    assert words(_linear()) == []
    assert words(_linear(enable_word_time_offsets=True)) == [("hello", 0, 1000, 0), ("u1", 0, 1000, 0)]
    speakers = services_pb2.SpeakerDiarizationConfig(enable_speaker_diarization=True)
    assert words(_linear(diarization_config=speakers)) == [("hello", 0, 1000, 1), ("u1", 0, 1000, 1)]


@pytest.mark.conformance("grpc", "field enable_automatic_punctuation", "done")
@pytest.mark.conformance("grpc", "field profanity_filter", "done")
@pytest.mark.conformance("grpc", "field verbatim_transcripts", "done")
def test_how_words_are_written_is_asked_of_the_one_place_that_writes_them(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Wording] = []

    def write(words: Sequence[Any], wording: Wording, language: str = "en") -> tuple[WrittenWord, ...]:
        seen.append(wording)
        assert language in ("en", "")
        return tuple(WrittenWord(word.text, word.text.upper(), word.start_s, word.end_s, word.confidence, word.speaker) for word in words)

    monkeypatch.setattr(recognition_messages, "write", write)
    config = _linear(enable_automatic_punctuation=True, profanity_filter=True, verbatim_transcripts=True, enable_word_time_offsets=True)
    (final,) = _finals(list(_stub(gateway).StreamingRecognize(_requests(SECOND, config=config), timeout=20)))
    assert seen[-1] == Wording(punctuate=True, profanity_filter=True, numerals=False)
    assert final.alternatives[0].transcript == "HELLO U1"
    assert final.alternatives[0].words[0].word == "HELLO"
    answer = _stub(gateway).Recognize(services_pb2.RecognizeRequest(config=_linear(), audio=SECOND), timeout=20)
    assert seen[-1] == Wording(numerals=True)
    assert answer.results[0].alternatives[0].transcript == "HELLO U1"


@pytest.mark.conformance("grpc", "field runtime_config", "done", "parameters of the native protocol that may change in mid-stream")
@pytest.mark.conformance("grpc", "field finalize", "done", "ours")
@pytest.mark.conformance("grpc", "field id", "done", "comes back")
def test_vocabulary_changes_and_finalize_in_mid_stream(gateway: GatewayServer) -> None:
    def requests() -> Iterator[Any]:
        for request in _requests(SECOND[:RATE_HZ], config=_linear()):
            request.id.value = "mine"
            yield request
        yield services_pb2.StreamingRecognizeRequest(finalize=True)
        yield services_pb2.StreamingRecognizeRequest(runtime_config={"custom_vocabulary": "kenobi"}, audio_content=SECOND)

    answers = list(_stub(gateway).StreamingRecognize(requests(), timeout=20))
    finals = _finals(answers)
    assert [final.alternatives[0].transcript for final in finals] == ["hello u1", "hello u2 kenobi"]
    assert finals[0].audio_processed == 0.5
    assert {answer.id.value for answer in answers} == {"mine"}


@pytest.mark.conformance("grpc", "field max_alternatives", "accepted without effect", "the engines have one")
@pytest.mark.conformance("grpc", "field endpointing_config.start_history", "accepted without effect")
@pytest.mark.conformance("grpc", "field endpointing_config.start_threshold", "accepted without effect")
@pytest.mark.conformance("grpc", "field endpointing_config.stop_threshold", "accepted without effect")
@pytest.mark.conformance("grpc", "field endpointing_config.stop_history_eou", "accepted without effect")
@pytest.mark.conformance("grpc", "field endpointing_config.stop_threshold_eou", "accepted without effect")
def test_what_has_no_effect_does_no_harm(gateway: GatewayServer) -> None:
    endpointing = services_pb2.EndpointingConfig(start_history=1, start_threshold=0.5, stop_threshold=0.5, stop_history_eou=1, stop_threshold_eou=0.5)
    config = _linear(max_alternatives=30, endpointing_config=endpointing)
    (final,) = _finals(list(_stub(gateway).StreamingRecognize(_requests(SECOND, config=config), timeout=20)))
    assert len(final.alternatives) == 1


# --- under Riva's name ---------------------------------------------------------------------------------------------------


@pytest.mark.conformance("grpc", "call nvidia.riva.asr.RivaSpeechRecognition/StreamingRecognize", "done")
@pytest.mark.conformance("grpc", "call nvidia.riva.asr.RivaSpeechRecognition/Recognize", "done")
@pytest.mark.conformance("grpc", "call nvidia.riva.asr.RivaSpeechRecognition/GetRivaSpeechRecognitionConfig", "done")
def test_the_same_under_rivas_name(gateway: GatewayServer) -> None:
    stub = riva_pb2_grpc.RivaSpeechRecognitionStub(grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}"))
    assert _finals(list(stub.StreamingRecognize(_requests(SECOND), timeout=20)))[0].alternatives[0].transcript == "hello u1 kenobi"
    answer = stub.Recognize(services_pb2.RecognizeRequest(config=LINEAR, audio=SECOND), timeout=20)
    assert answer.results[0].alternatives[0].transcript == "hello u1 kenobi"
    shown = stub.GetRivaSpeechRecognitionConfig(riva_pb2.RivaSpeechRecognitionConfigRequest(), timeout=5).model_config
    assert [model.parameters["language_code"] for model in shown] == ["en"]
    assert not stub.GetRivaSpeechRecognitionConfig(riva_pb2.RivaSpeechRecognitionConfigRequest(model_name="x"), timeout=5).model_config


# --- errors with details -------------------------------------------------------------------------------------------------


def _detailed(call: Callable[[], Any]) -> tuple[Any, dict[type, Any]]:
    """The status as grpcio-status reads it, and its details by type."""
    with pytest.raises(grpc.RpcError) as failure:
        call()
    status = rpc_status.from_call(failure.value)
    assert status is not None
    details = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                details[kind] = kind.FromString(packed.value)
    return status, details


@pytest.mark.conformance("grpc", "field enable_separate_recognition_per_channel", "refused")
@pytest.mark.parametrize(
    ("config", "field", "code"),
    [
        (_linear(sample_rate_hertz=4000), "sample_rate_hertz", "UNSUPPORTED_SAMPLE_RATE"),
        (_linear(sample_rate_hertz=-1), "sample_rate_hertz", "INVALID_PARAMETER"),
        (_linear(audio_channel_count=99), "audio_channel_count", "INVALID_PARAMETER"),
        (_linear(language_code="xx"), "language_code", "UNSUPPORTED_LANGUAGE"),
        (_linear(max_alternatives=-1), "max_alternatives", "INVALID_PARAMETER"),
        (_linear(enable_separate_recognition_per_channel=True), "enable_separate_recognition_per_channel", "NOT_SUPPORTED"),
        (_linear(speech_contexts=[services_pb2.SpeechContext(phrases=["x"], boost=-3)]), "speech_contexts[0].boost", "NOT_SUPPORTED"),
        (_linear(speech_contexts=[services_pb2.SpeechContext(phrases=["x"], boost=float("nan"))]), "speech_contexts[0].boost", "NOT_SUPPORTED"),
        (_linear(speech_contexts=[services_pb2.SpeechContext(phrases=["x" * 101])]), "speech_contexts", "INVALID_PARAMETER"),
        (
            _linear(diarization_config=services_pb2.SpeakerDiarizationConfig(max_speaker_count=-1)),
            "diarization_config.max_speaker_count",
            "INVALID_PARAMETER",
        ),
        (_linear(endpointing_config=services_pb2.EndpointingConfig(stop_history=-1)), "endpointing_config.stop_history", "INVALID_PARAMETER"),
        (_linear(custom_configuration={"colour": "red"}), "custom_configuration[colour]", "INVALID_PARAMETER"),
        (_linear(custom_configuration={"pause_ms": "long"}), "custom_configuration[pause_ms]", "INVALID_PARAMETER"),
        (services_pb2.RecognitionConfig(encoding=77), "encoding", "UNSUPPORTED_ENCODING"),
    ],
)
def test_a_wrong_field_is_named(gateway: GatewayServer, config: Any, field: str, code: str) -> None:
    for call in (
        lambda: list(_stub(gateway).StreamingRecognize(_requests(SECOND, config=config), timeout=10)),
        lambda: _stub(gateway).Recognize(services_pb2.RecognizeRequest(config=config, audio=SECOND), timeout=10),
    ):
        status, details = _detailed(call)
        assert status.code == getattr(grpc.StatusCode, errors.CODES[code].grpc).value[0]
        info = details[error_details_pb2.ErrorInfo]
        assert (info.reason, info.domain) == (code, "voxrelay")
        (violation,) = details[error_details_pb2.BadRequest].field_violations
        assert violation.field == field
        assert violation.description == status.message
    assert gateway._hub.open_sessions == 0


def test_a_change_of_what_the_first_audio_fixed_is_refused(gateway: GatewayServer) -> None:
    def requests() -> Iterator[Any]:
        yield from _requests(SECOND, config=_linear())
        yield services_pb2.StreamingRecognizeRequest(runtime_config={"sample_rate": "8000"})

    _, details = _detailed(lambda: list(_stub(gateway).StreamingRecognize(requests(), timeout=10)))
    assert details[error_details_pb2.BadRequest].field_violations[0].field == "runtime_config"


def test_what_was_said_before_a_mistake_is_told_before_the_error(gateway: GatewayServer) -> None:
    def requests() -> Iterator[Any]:
        yield from _requests(SECOND, config=_linear())
        yield from _requests(config=_linear())

    finals = []
    with pytest.raises(grpc.RpcError) as failure:
        for answer in _stub(gateway).StreamingRecognize(requests(), timeout=10):
            finals += _finals([answer])
    assert [final.alternatives[0].transcript for final in finals] == ["hello u1"]
    error: Any = failure.value
    assert dict(error.trailing_metadata())["voxrelay-error-code"] == "INVALID_MESSAGE"


def test_when_to_try_again_is_said_where_it_helps(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_sessions=1)
    first = _Sender()
    try:
        live = _stub(gateway).StreamingRecognize(iter(first), timeout=30)
        first.say(next(_requests()))
        first.say(services_pb2.StreamingRecognizeRequest(audio_content=SECOND))
        next(live)
        status, details = _detailed(lambda: list(_stub(gateway).StreamingRecognize(_requests(), timeout=10)))
        assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert details[error_details_pb2.ErrorInfo].reason == "TOO_MANY_SESSIONS"
        assert details[error_details_pb2.RetryInfo].retry_delay.seconds == 2
    finally:
        first.end()
        list(live)


@pytest.mark.parametrize("code", errors.CODES)
def test_every_code_has_details_that_can_be_read(code: str) -> None:
    from google.rpc import status_pb2

    status = getattr(grpc.StatusCode, errors.CODES[code].grpc)
    read = status_pb2.Status.FromString(_details(status, Refused(code, "What to do."), "s1"))
    assert (read.code, read.message) == (status.value[0], "What to do.")
    info = error_details_pb2.ErrorInfo.FromString(read.details[0].value)
    assert (info.reason, dict(info.metadata)) == (code, {"session_id": "s1"})


class _Sender:
    """Requests as a test says them, without an end until it says so."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Any] = queue.Queue()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._waiting.get, None)

    def say(self, request: Any) -> None:
        self._waiting.put(request)

    def end(self) -> None:
        self._waiting.put(None)
