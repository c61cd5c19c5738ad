"""Hostile input on every surface of a running gateway. ``make fuzz CASES=100000`` is the long run; here is a bounded share of it.

What must hold: no answer of 5xx but the documented 501, 503 and 504, no exception in the logs, no session left open, flat memory, and a whole good
session afterwards. Paths are those the application has.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from random import Random
from urllib.parse import quote

import grpc
import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.fuzz import generators
from tests.fuzz.conftest import Target

DOCUMENTED = (501, 503, 504)
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
GONE = (ConnectionError, ConnectionClosed, InvalidHandshake, EOFError)
PATIENCE_S = 60.0  # of a machine with much else to do
PLAIN = {"/v1/listen": "?encoding=linear16&sample_rate=16000", "/v2/listen": "?model=flux-general-en&encoding=linear16&sample_rate=16000"}
PLAIN["/v1/realtime"] = "?intent=transcription"


def _is_fine(status: int) -> bool:
    return status < 500 or status in DOCUMENTED


def _filled(path: str, rng: Random) -> str:
    return re.sub(r"\{[^}]*\}", lambda _: rng.choice(("x", "0" * 32, "%00", "%F0%9F%98%80", "..", "a" * 500)), path)


def test_websocket_conversations(target: Target) -> None:
    """Messages of every protocol's kinds and none, audio and damaged containers, on every WebSocket path there is."""

    async def attempt(rng: Random) -> None:
        path = _filled(rng.choice(target.sockets), rng)
        is_good = rng.random() < 0.5
        said = generators.good_conversation(rng, path) if is_good else generators.conversation(rng)
        query = PLAIN.get(path, "") if is_good else generators.query(rng)
        with contextlib.suppress(*GONE):
            async with connect(f"ws://127.0.0.1:{target.gateway.port}{path}{query}", compression=None, open_timeout=PATIENCE_S) as socket:
                for form, data in said:
                    match form:
                        case "text":
                            await socket.send(data.encode("utf-8", "surrogatepass"), text=True)
                        case "bytes":
                            await socket.send(data)
                        case "ping":
                            await socket.ping(data)
                        case "abort":
                            socket.transport.abort()
                        case "close":
                            await socket.close()
                        case "end":
                            async with asyncio.timeout(PATIENCE_S):
                                await socket.send(rng.choice(('{"type":"close_stream"}', '{"type":"CloseStream"}')))
                                with contextlib.suppress(TimeoutError):
                                    async with asyncio.timeout(0.3):
                                        async for _ in socket:
                                            pass

    target.run("conversations", 500, attempt)


def test_resuming(target: Target) -> None:
    """Sessions whose connections break and come back, with the token they were given or another, and with what they had seen or not."""

    async def visit(rng: Random, query: str) -> str:
        """The resume token this connection was greeted with, if it was."""
        token = ""
        address = f"ws://127.0.0.1:{target.gateway.port}/ws/v1/transcribe{query}"
        with contextlib.suppress(*GONE):
            async with connect(address, compression=None, open_timeout=PATIENCE_S) as socket:
                greeting = json.loads(await socket.recv())
                token = greeting.get("resume_token", "")
                for form, data in generators.good_conversation(rng, "/ws/v1/transcribe"):
                    if form == "close":
                        await socket.close()
                    elif form == "end":
                        await socket.send('{"type":"close_stream"}')
                    elif form != "abort":
                        await socket.send(data)
                socket.transport.abort()
        return token

    async def attempt(rng: Random) -> None:
        token = await visit(rng, "")
        for _ in range(rng.randrange(1, 4)):
            shown = token if rng.random() < 0.8 else generators.mutated(rng, token.encode()).decode("utf-8", "replace")
            last = rng.choice(("0", "0", "1", "2", "7", "-1", "", "999999999999", "x", "٣"))
            more = rng.choice(("", "", "&sample_rate=8000", "&diarize=false", "&custom_vocabulary=a,b", "&encoding=webm"))
            await visit(rng, f"?resume_token={quote(shown, safe='')}&last_sequence={quote(last)}{more}")

    target.run("resuming", 100, attempt)


async def _raw(target: Target, data: bytes, wait_s: float) -> bytes:
    """What comes back until the server closes, or so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.gateway.port)
    answer = b""
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(wait_s):
            while piece := await reader.read(65536):
                answer += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


def test_websocket_frames(target: Target) -> None:
    """Bytes after a good handshake that break RFC 6455."""

    async def attempt(rng: Random) -> None:
        path = _filled(rng.choice(target.sockets), rng)
        key = base64.b64encode(rng.randbytes(16)).decode()
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        await _raw(target, head.encode() + generators.frames(rng), 0.15)

    target.run("frames", 300, attempt)


def test_http_bytes(target: Target) -> None:
    """Requests that are hardly any."""

    async def attempt(rng: Random) -> None:
        paths = [_filled(path, rng) for path in target.paths]
        answer = await _raw(target, generators.http(rng, paths), 0.15)
        for status in STATUS.findall(answer):
            assert _is_fine(int(status)), answer[:500]

    target.run("http", 300, attempt)


def test_files_and_forms(target: Target) -> None:
    """Damaged containers as bodies and in broken forms, to every path that takes POST."""
    takers = sorted({operation for operation, methods in target.app.openapi()["paths"].items() if "post" in methods})
    assert "/api/process" in takers

    async def attempt(rng: Random) -> None:
        path = _filled(rng.choice([*takers, "/api/process"]), rng)
        content_type, body = generators.multipart(rng) if rng.random() < 0.5 else ("application/octet-stream", generators.container(rng))
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            headers = {"content-type": content_type.encode("utf-8")}
            try:
                answer = await client.post(target.url + path + generators.query(rng)[:4000], content=body, headers=headers)
            except httpx.RemoteProtocolError:
                return
        assert _is_fine(answer.status_code), answer.text[:500]

    target.run("files", 150, attempt)


def _unchanged(data: bytes) -> bytes:
    return data


FINE_OF_GRPC = (
    *(grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED),
    *(grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.DEADLINE_EXCEEDED),
)


def test_grpc(target: Target) -> None:
    """Damaged messages, alone and in streams. The client is the blocking one: gRPC's two event loops in one process would wait for each other."""
    with grpc.insecure_channel(f"127.0.0.1:{target.gateway.grpc_port}") as channel:
        recognize = channel.unary_unary("/voxrelay.v1.SpeechRecognition/Recognize", _unchanged, _unchanged)
        stream = channel.stream_stream("/voxrelay.v1.SpeechRecognition/StreamingRecognize", _unchanged, _unchanged)

        def call(rng: Random) -> grpc.StatusCode:
            try:
                if rng.random() < 0.5:
                    recognize(generators.recognize_request(rng), timeout=PATIENCE_S)
                else:
                    for _ in stream(iter(generators.streaming_requests(rng)), timeout=PATIENCE_S):
                        if rng.random() < 0.1:
                            break
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        async def attempt(rng: Random) -> None:
            status = await asyncio.to_thread(call, rng)
            assert status in FINE_OF_GRPC, status

        target.run("grpc", 300, attempt)
