"""What is refused before it is parsed: bodies, heads, frames, nesting, gRPC messages; by what it says of its size and by what comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.requests import bounds
from services.gateway.requests.bounds import parse_json
from services.gateway.server import GatewayServer
from tests.unit.gateway import bombs
from voxrelay.rpc import MAX_MESSAGE_BYTES
from voxrelay.v1 import services_pb2, services_pb2_grpc

pytestmark = pytest.mark.sockets

DEEP = "[" * 100_000


def url(gateway: GatewayServer, path: str) -> str:
    return f"http://127.0.0.1:{gateway.port}{path}"


def _drip(piece: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield piece


def test_a_large_body_is_refused_by_its_announced_size(gateway: GatewayServer) -> None:
    answer = httpx.post(url(gateway, "/v1/speak"), content=b'{"text":"' + b"a" * 2_000_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream", "multipart/form-data; boundary=x"])
def test_a_large_body_is_refused_while_it_comes(content_type: str, gateway: GatewayServer) -> None:
    answer = httpx.post(url(gateway, "/v1/speak"), content=_drip(b"a" * 100_000, 12), headers={"content-type": content_type})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "MESSAGE_TOO_LARGE"


async def test_an_endless_body_is_not_read_on(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_file_bytes=100_000)
    for path, most in (("/v1/speak", 40_000_000), ("/api/process", 40_000_000)):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            while sent < most:
                writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 65536
                await writer.drain()
        except ConnectionError:
            pass
        assert sent < most, path
        writer.close()


async def test_who_still_sends_when_the_refusal_comes_can_read_it(gateway: GatewayServer) -> None:
    """A connection closed at once would be reset by what is still on its way, and the answer lost with it."""
    rest = bytes(1_500_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"POST /v1/speak HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(rest)}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b" 413 " in head
    assert b"connection: close" in head.lower()
    writer.write(rest)
    await writer.drain()
    assert b"MESSAGE_TOO_LARGE" in await asyncio.wait_for(reader.read(), 20)
    writer.close()


async def test_who_waits_to_be_told_to_send_is_refused_at_once(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LINGER_S", 3600.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/speak HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 1500000\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    assert b" 413 " in answer
    assert b"MESSAGE_TOO_LARGE" in answer
    writer.close()


async def test_a_body_that_pauses_is_given_up(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(idle_s=0.3)
    for path in ("/v1/speak", "/api/process"):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nabc".encode())
        head = await asyncio.wait_for(reader.readline(), 10)
        assert b" 408 " in head, path
        writer.close()


def test_a_file_may_be_larger_than_other_bodies(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_body_bytes=10_000)
    answer = httpx.post(url(gateway, "/api/process"), content=bombs.wav(), timeout=30)
    assert answer.status_code == 200
    answer = httpx.post(url(gateway, "/api/process"), files={"file": ("a.wav", bombs.wav())}, timeout=30)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        '{"a":' * 50_000,
        "1" * 100_000,
        '{"text": ' + "9" * 5000 + "}",
        '{"text":"a","speed":1e999}',
        '{"text":"a","speed":NaN}',
        '{"text":"\\ud800"}',
    ],
    ids=["lists", "objects", "digits", "field", "infinity", "nan", "surrogate"],
)
def test_json_that_hurts_its_parser(body: str, gateway: GatewayServer) -> None:
    answer = httpx.post(url(gateway, "/v1/speak"), content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("INVALID_MESSAGE", "INVALID_PARAMETER")


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 50_000, "1" * 5000, '"\\ud800"', "{", "", '{"a": "\\udfff"}'])
def test_parse_json_raises_nothing_but_value_errors(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ValueError):
            parse_json(form)
    assert parse_json('{"a": "\\ud83d\\ude00 \\u00e9"}') == {"a": "😀 é"}


@pytest.mark.parametrize("text", [DEEP, '{"type":"configure","config":' + "[" * 5000, "1" * 5000, '{"type":"\\ud800"}'])
async def test_json_that_hurts_its_parser_in_a_websocket(text: str, gateway: GatewayServer) -> None:
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None) as socket:
        await socket.recv()
        await socket.send(text)
        assert json.loads(await asyncio.wait_for(socket.recv(), 10))["error"]["code"] == "INVALID_MESSAGE"


async def test_frames_over_the_limit_whole_or_in_pieces(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_frame_bytes=65536)
    for message in (bytes(65537), [bytes(1000)] * 66):
        async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None) as socket:
            await socket.recv()
            with pytest.raises(ConnectionClosed):
                await socket.send(message)
                while True:
                    await asyncio.wait_for(socket.recv(), 10)
            assert socket.close_code == 1009


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000])
async def test_heads_have_a_size(head: bytes, gateway: GatewayServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head)
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
    assert await asyncio.wait_for(reader.read(), 10) is not None  # and the connection ends
    writer.close()


@pytest.mark.parametrize("call", ["POST /health", "POST /v1/speak", "POST /api/process", "POST /openapi.json", "HEAD /"])
async def test_a_broken_body_is_answered_once_and_no_failure_of_ours(call: str, gateway: GatewayServer, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = f"{call} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    writer.write(f"{head}\r\nno chunk\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b" 400 " in answer.splitlines()[0]
    writer.close()
    assert not [record for record in caplog.records if record.exc_info]


async def test_connections_without_a_request_end(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.2)
    gateway = make_gateway()
    for said in (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX"):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe", compression=None) as socket:  # and others do not
        await socket.recv()
        await asyncio.sleep(0.4)
        await socket.send(json.dumps({"type": "close_stream"}))
        assert json.loads(await asyncio.wait_for(socket.recv(), 10))["type"] == "closed"


@pytest.mark.parametrize("extra", [{"query": "e" * 9000}, {"query": "e" * 100_000}, {"header": "e" * 9000}, {"headers": 200}], ids=str)
async def test_a_websocket_head_has_a_size(extra: dict[str, Any], gateway: GatewayServer) -> None:
    headers = [("X", extra["header"])] if "header" in extra else [(f"X-{index}", "y") for index in range(extra.get("headers", 0))]
    with pytest.raises(InvalidStatus) as caught:
        async with connect(
            f"ws://127.0.0.1:{gateway.port}/ws/v1/transcribe?language={extra.get('query', 'en')}", compression=None, additional_headers=headers
        ):
            raise AssertionError("it was accepted")
    assert caught.value.response.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\n" + b"A" * 100_000 + b": b\r\n\r\n\r\n--x--\r\n",
        b"--x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="' + b"n" * 100_000 + b'"\r\n\r\n1\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 20_000 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\n\xff\r\n--x--\r\n',
        b"--x\r\n",
        b"nothing of the kind",
    ],
    ids=["name", "headers", "value", "parts", "bytes", "broken off", "no form"],
)
@pytest.mark.parametrize("path", ["/api/process", "/v1/audio/transcriptions"])
def test_forms_that_hurt_their_parser(path: str, body: bytes, gateway: GatewayServer) -> None:
    answer = httpx.post(url(gateway, path), content=body, headers={"content-type": "multipart/form-data; boundary=x"}, timeout=30)
    assert 400 <= answer.status_code < 500


def test_a_grpc_message_over_the_limit(gateway: GatewayServer) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", options=[("grpc.max_send_message_length", -1)]) as channel:
        stub = services_pb2_grpc.SpeechRecognitionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Recognize(services_pb2.RecognizeRequest(audio=bytes(MAX_MESSAGE_BYTES + 1)), timeout=30)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_much_silence_in_few_bytes_over_grpc_is_not_held_in_memory(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_audio_s=20.0)
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        stub = services_pb2_grpc.SpeechRecognitionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Recognize(services_pb2.RecognizeRequest(audio=bombs.silent_flac(600.0)), timeout=30)
        assert dict(caught.value.trailing_metadata())["voxrelay-error-code"] == "AUDIO_TOO_LONG"
