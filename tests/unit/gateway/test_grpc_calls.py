"""What becomes of gRPC calls: deadlines, cancelling, clients that do not read or send too fast, limits, health, reflection alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from services.gateway import rpc
from services.gateway.intake import Intake
from services.gateway.protocols import recognition
from services.gateway.server import GatewayServer
from services.gateway.sessions.hub import SessionHub
from services.gateway.settings import GatewaySettings
from tests.unit.gateway.test_native import RATE_HZ, SECOND, _container
from tests.unit.gateway.test_recognition import LINEAR, _linear, _requests, _Sender
from voxrelay.errors import Unavailable
from voxrelay.v1 import services_pb2, services_pb2_grpc

SERVICE = "voxrelay.v1.SpeechRecognition"


def _channel(gateway: GatewayServer, **options: Any) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", options=[(f"grpc.{name}", value) for name, value in options.items()])


def _stub(gateway: GatewayServer, **options: Any) -> Any:
    return services_pb2_grpc.SpeechRecognitionStub(_channel(gateway, **options))  # type: ignore[no-untyped-call]


def _audio(pcm: bytes) -> Any:
    return services_pb2.StreamingRecognizeRequest(audio_content=pcm)


def _until(happened: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _tasks(gateway: GatewayServer) -> int:
    """How many tasks the gateway's loop has; the one that counts is not among them."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return asyncio.run_coroutine_threadsafe(count(), gateway._loop).result(10)


def _decoders() -> int:
    return sum(thread.name == "container-decoder" for thread in threading.enumerate())


@pytest.fixture
def nothing_left(gateway: GatewayServer) -> Iterator[None]:
    """After the test the gateway holds no session, no task and no decoder that it did not hold before."""
    _until(lambda: gateway._hub.open_sessions == 0)
    tasks, decoders = _tasks(gateway), _decoders()
    yield
    _until(lambda: gateway._hub.open_sessions == 0)
    _until(lambda: _tasks(gateway) <= tasks)
    _until(lambda: _decoders() <= decoders)


def _begun(gateway: GatewayServer, first: bytes, config: Any, **call: Any) -> tuple[Any, _Sender, Any]:
    """A call whose session has begun: the call, what sends in it, the session."""
    sender = _Sender()
    answers = _stub(gateway).StreamingRecognize(iter(sender), **call)
    sender.say(next(_requests(config=config)))
    sender.say(_audio(first))
    _until(lambda: any(session.has_begun for session in gateway._hub._sessions.values()))
    (session,) = gateway._hub._sessions.values()
    return answers, sender, session


WEBM = services_pb2.RecognitionConfig()
KINDS = pytest.mark.parametrize("kind", ["raw", "container"])


def _said(kind: str) -> tuple[bytes, Any]:
    return (SECOND, LINEAR) if kind == "raw" else (_container("webm", "libopus", 48000), WEBM)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.conformance("grpc", "deadline of a call", "done")
@KINDS
def test_a_call_past_its_deadline_ends_its_session_and_frees_everything(kind: str, gateway: GatewayServer) -> None:
    answers, sender, session = _begun(gateway, *_said(kind), timeout=1.0)
    with pytest.raises(grpc.RpcError) as failure:
        list(answers)
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    _until(lambda: session.is_closing)
    sender.end()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.conformance("grpc", "cancelling a call", "done")
@KINDS
def test_a_cancelled_call_ends_its_session_at_once(kind: str, gateway: GatewayServer) -> None:
    answers, sender, session = _begun(gateway, *_said(kind))
    answers.cancel()
    _until(lambda: session.is_closing, within_s=5)
    sender.end()


@pytest.mark.usefixtures("nothing_left")
def test_a_client_whose_connection_breaks_leaves_nothing_behind(gateway: GatewayServer) -> None:
    channel, sender = _channel(gateway), _Sender()
    call = services_pb2_grpc.SpeechRecognitionStub(channel).StreamingRecognize(iter(sender))  # type: ignore[no-untyped-call]
    sender.say(next(_requests()))
    _until(lambda: gateway._hub.open_sessions == 1)
    channel.close()
    sender.end()
    assert call.code() is grpc.StatusCode.CANCELLED


@pytest.mark.usefixtures("nothing_left")
def test_a_cancelled_recording_ends_its_session(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_session: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(recognition, "_collected", never)
    call = _stub(gateway).Recognize.future(services_pb2.RecognizeRequest(config=LINEAR, audio=SECOND))
    _until(lambda: gateway._hub.open_sessions == 1)
    call.cancel()


def test_idle_and_lifetime(make_gateway: Callable[..., GatewayServer]) -> None:
    def code(gateway: GatewayServer, requests: Iterator[Any]) -> str:
        with pytest.raises(grpc.RpcError) as failure:
            list(_stub(gateway).StreamingRecognize(requests, timeout=20))
        error: Any = failure.value
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return dict(error.trailing_metadata())["voxrelay-error-code"]

    idle = _Sender()
    idle.say(next(_requests()))
    assert code(make_gateway(idle_s=0.3), iter(idle)) == "SESSION_IDLE"
    assert code(make_gateway(idle_s=0.3), iter(_Sender())) == "SESSION_IDLE"  # without a configuration too
    idle.end()

    def talking() -> Iterator[Any]:
        yield from _requests()
        while True:
            time.sleep(0.05)
            yield _audio(SECOND[:3200])

    assert code(make_gateway(session_lifetime_s=0.5), talking()) == "SESSION_LIFETIME"


@pytest.mark.conformance("grpc", "client that does not read", "done", "interims thin out; then RESOURCE_EXHAUSTED, CLIENT_TOO_SLOW")
def test_a_client_that_does_not_read_is_bounded_and_given_up(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "SEND_TIMEOUT_S", 0.5)
    gateway = make_gateway(max_unsent_messages=8)
    terms = [f"{number:03d}{'x' * 90}" for number in range(200)]  # every final is 20 kB of them
    sender = _Sender()
    answers = _stub(gateway, **{"http2.lookahead_bytes": 65536, "http2.bdp_probe": 0}).StreamingRecognize(iter(sender))
    sender.say(next(_requests(config=_linear(custom_vocabulary=terms))))
    for _ in range(100):
        sender.say(_audio(SECOND))
    _until(lambda: gateway._hub.open_sessions == 1)
    _until(lambda: gateway._hub.open_sessions == 0, within_s=60)
    finals = []
    with pytest.raises(grpc.RpcError) as failure:
        for answer in answers:
            finals += [result for result in answer.results if result.is_final]
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())["voxrelay-error-code"] == "CLIENT_TOO_SLOW"
    assert [final.utterance_id for final in finals] == [f"u{number}" for number in range(1, len(finals) + 1)]  # none is left out
    assert len(finals) < 60
    sender.end()


@pytest.mark.conformance("grpc", "client that sends too fast", "done", "held up by HTTP/2's flow control")
def test_a_client_that_sends_faster_than_the_log_takes_is_held_up(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_unacknowledged_bytes=65536, max_unsent_messages=10_000)
    given = 0

    def requests() -> Iterator[Any]:
        nonlocal given
        yield from _requests(config=_linear(), interims=False)
        for _ in range(1000):
            given += 1
            yield _audio(SECOND)

    with _stalled(gateway) as waiting:
        answers = _stub(gateway, **{"http2.bdp_probe": 0, "http2.write_buffer_size": 1}).StreamingRecognize(requests(), timeout=120)
        _until(lambda: len(waiting) >= 3)
        before = -1
        while before != given:  # until nothing goes any more
            before = given
            time.sleep(0.5)
        assert given < 300  # of 32 kB each, in windows and buffers on both sides
        (session,) = gateway._hub._sessions.values()
    assert sum(len(answer.results) for answer in answers) == 1000
    assert session.audio_seconds == 1000


def test_a_container_that_unpacks_faster_than_the_log_takes_is_held_up(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_unacknowledged_bytes=65536)
    with _stalled(gateway):
        answers, sender, session = _begun(gateway, _silence(600), WEBM)
        (intake,) = [
            found for found in gc.get_objects() if type(found) is Intake and found._session is session
        ]  # a dead proxy has no class to ask for
        _until(lambda: intake._decoded.qsize() > 32)
        time.sleep(0.5)  # for its decoder to go on, if it does
        assert intake._decoded.qsize() <= 64
        answers.cancel()
    _until(lambda: gateway._hub.open_sessions == 0)
    _until(lambda: _decoders() == 0)
    sender.end()


def _silence(seconds: int) -> bytes:
    """As flac, which packs it small."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, RATE_HZ * seconds), dtype="<i2"), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()


@contextlib.contextmanager
def _stalled(gateway: GatewayServer) -> Iterator[list[Callable[[Exception | None], None]]]:
    """A log that takes records and acknowledges none before the end; gives what waits to be acknowledged."""
    plain, waiting = gateway._hub.producer.send, list[Callable[[Exception | None], None]]()

    def send(topic: str, key: bytes, value: bytes, headers: Any, on_delivered: Callable[[Exception | None], None]) -> None:
        waiting.append(on_delivered)
        plain(topic, key, value, headers, on_delivered=lambda _error: None)

    gateway._hub.producer.send = send  # type: ignore[method-assign]
    try:
        yield waiting
    finally:
        gateway._hub.producer.send = plain  # type: ignore[method-assign]
        for delivered in waiting:
            gateway._loop.call_soon_threadsafe(delivered, None)


# --- limits ----------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("grpc", "size limit of messages", "done")
def test_messages_over_the_limit_are_refused_compressed_ones_by_what_they_unpack_to(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(grpc_max_message_bytes=100_000, max_frame_bytes=65536)
    request = services_pb2.RecognizeRequest(config=LINEAR, audio=bytes(10_000_000))
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with pytest.raises(grpc.RpcError) as failure:
            _stub(gateway).Recognize(request, timeout=20, compression=compression)
        error: Any = failure.value
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as failure:
        list(_stub(gateway).StreamingRecognize(_requests(bytes(70_000)), timeout=20))
    error = failure.value
    assert dict(error.trailing_metadata())["voxrelay-error-code"] == "MESSAGE_TOO_LARGE"


class _Relay:
    """A TCP relay that counts what comes back."""

    def __init__(self, port: int) -> None:
        self._to, self.answered = port, 0

    async def __aenter__(self) -> _Relay:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, counts: bool) -> None:
            while data := await source.read(65536):
                self.answered += len(data) if counts else 0
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, back, False), pump(there, writer, True), return_exceptions=True)


@pytest.mark.conformance("grpc", "compression", "done", "requests by any client; answers by a setting")
async def test_compression_both_ways(make_gateway: Callable[..., GatewayServer]) -> None:
    config = _linear(custom_vocabulary=["x" * 90 + str(number) for number in range(200)], enable_word_time_offsets=True)
    request = services_pb2.RecognizeRequest(config=config, audio=SECOND)
    answered, transcripts = {}, set()
    for compression in ("none", "gzip", "deflate"):
        async with _Relay(make_gateway(grpc_compression=compression).grpc_port) as relay:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{relay.port}") as channel:
                stub: Any = services_pb2_grpc.SpeechRecognitionStub(channel)  # type: ignore[no-untyped-call]
                answer = await stub.Recognize(request, timeout=20, compression=grpc.Compression.Gzip)
            transcripts.add(answer.results[0].alternatives[0].transcript)
            answered[compression] = relay.answered
    assert len(transcripts) == 1
    assert answered["none"] > 10_000
    assert max(answered["gzip"], answered["deflate"]) < answered["none"] / 3


@pytest.mark.conformance("grpc", "keepalive and age of connections", "done")
def test_settings_become_limits_of_connections() -> None:
    options = dict(rpc.channel_options(GatewaySettings(grpc_keepalive_s=7, grpc_connection_age_s=60, session_lifetime_s=90)))
    assert options["grpc.keepalive_time_ms"] == 7000
    assert options["grpc.max_connection_age_ms"] == 60_000
    assert options["grpc.max_connection_age_grace_ms"] == 90_000
    assert "grpc.max_connection_age_ms" not in dict(rpc.channel_options(GatewaySettings()))


def test_a_connection_that_has_come_of_age_lets_its_call_finish(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(grpc_connection_age_s=1.0)  # the call is surely under way by then
    states: list[grpc.ChannelConnectivity] = []
    channel, sender = _channel(gateway), _Sender()
    channel.subscribe(states.append)
    answers = services_pb2_grpc.SpeechRecognitionStub(channel).StreamingRecognize(iter(sender), timeout=30)  # type: ignore[no-untyped-call]
    sender.say(next(_requests(config=_linear())))
    sender.say(_audio(SECOND))
    _until(lambda: grpc.ChannelConnectivity.READY in states and states[-1] is grpc.ChannelConnectivity.IDLE)
    sender.say(_audio(SECOND))
    sender.end()
    finals = [result for answer in answers for result in answer.results if result.is_final]
    assert [final.alternatives[0].transcript for final in finals] == ["hello u1", "hello u2"]
    channel.close()


def test_more_calls_than_allowed_are_refused(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(grpc_max_calls=1)
    answers, sender, _ = _begun(gateway, SECOND, _linear())
    with pytest.raises(grpc.RpcError) as failure:
        health_pb2_grpc.HealthStub(_channel(gateway)).Check(health_pb2.HealthCheckRequest(), timeout=10)
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    sender.end()
    assert list(answers)


# --- health ----------------------------------------------------------------------------------------------------------------


def _health(gateway: GatewayServer) -> Any:
    return health_pb2_grpc.HealthStub(_channel(gateway))


def _status(gateway: GatewayServer, service: str) -> int:
    status: int = _health(gateway).Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status
    return status


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.conformance("grpc", "call grpc.health.v1.Health/Check", "done")
@pytest.mark.parametrize("service", ["", *recognition.SERVICES])
def test_health_follows_what_the_gateway_can_do(service: str, make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = make_gateway()
    assert _status(gateway, service) == SERVING

    def check(_hub: SessionHub) -> None:
        raise Unavailable("The log is away.")

    with monkeypatch.context() as patched:
        patched.setattr(SessionHub, "check", check)
        _until(lambda: _status(gateway, service) == NOT_SERVING)
    _until(lambda: _status(gateway, service) == SERVING)
    with pytest.raises(grpc.RpcError) as failure:
        _status(gateway, "nobody")
    error: Any = failure.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.conformance("grpc", "call grpc.health.v1.Health/Watch", "done")
def test_a_watcher_sees_the_gateway_drain_while_the_open_call_finishes(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(drain_s=30.0)
    answers, sender, _ = _begun(gateway, SECOND, _linear())
    watching = _health(gateway).Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
    assert next(watching).status == SERVING
    stopping = threading.Thread(target=gateway.stop)
    stopping.start()
    assert next(watching).status == NOT_SERVING
    sender.say(_audio(SECOND))
    sender.end()
    finals = [result for answer in answers for result in answer.results if result.is_final]
    assert [final.alternatives[0].transcript for final in finals] == ["hello u1", "hello u2"]
    stopping.join(20)
    assert not stopping.is_alive()


# --- reflection alone --------------------------------------------------------------------------------------------------------


class Reflected:
    """A client that knows nothing but the address, as grpcurl does: descriptors by reflection, messages built from them."""

    def __init__(self, channel: grpc.Channel, version: str) -> None:
        self._channel, self._pool = channel, descriptor_pool.DescriptorPool()
        self._ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        self._known: set[str] = set()

    def _answer(self, **asked: str) -> Any:
        return next(iter(self._ask(iter([reflection_pb2.ServerReflectionRequest(**asked)]), timeout=10)))

    def services(self) -> set[str]:
        return {service.name for service in self._answer(list_services="*").list_services_response.service}

    def _learn(self, serialized: Sequence[bytes]) -> None:
        for file in (descriptor_pb2.FileDescriptorProto.FromString(one) for one in serialized):
            if file.name not in self._known:
                self._known.add(file.name)
                for needed in file.dependency:
                    self._learn(self._answer(file_by_filename=needed).file_descriptor_response.file_descriptor_proto)
                self._pool.Add(file)  # type: ignore[attr-defined]

    def method(self, service: str, name: str) -> Any:
        """Its descriptor."""
        self._learn(self._answer(file_containing_symbol=service).file_descriptor_response.file_descriptor_proto)
        return self._pool.FindServiceByName(service).methods_by_name[name]

    def stream(self, service: str, name: str, requests: Sequence[dict[str, Any]]) -> list[Any]:
        method = self.method(service, name)
        make = message_factory.GetMessageClass(method.input_type)
        call = self._channel.stream_stream(
            f"/{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        return list(call(iter([make(**request) for request in requests]), timeout=60))


@pytest.mark.conformance("grpc", "call grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "done")
@pytest.mark.conformance("grpc", "call grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "done")
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("service", recognition.SERVICES)
def test_a_client_that_has_reflection_only(version: str, service: str, gateway: GatewayServer) -> None:
    with _channel(gateway) as channel:
        reflected = Reflected(channel, version)
        assert {*recognition.SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= reflected.services()
        config = {"config": {"encoding": 1, "sample_rate_hertz": RATE_HZ, "diarization_config": {"enable_speaker_diarization": True}}}
        answers = reflected.stream(service, "StreamingRecognize", [{"streaming_config": config}, {"audio_content": SECOND}])
    (final,) = [result for answer in answers for result in answer.results if result.is_final]
    assert final.alternatives[0].transcript == "hello u1"
    assert final.alternatives[0].words[0].speaker_tag == 1
    with contextlib.suppress(KeyError):
        descriptor_pool.DescriptorPool().FindServiceByName(service)
        raise AssertionError("a fresh pool knows the service: the test would prove nothing")
