"""Input made to break things, each case from a seed of its own: the same seed gives the same case."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from random import Random
from typing import Any
from urllib.parse import quote

from tests.unit.gateway import bombs
from voxrelay.v1 import services_pb2

KINDS = (
    *("configure", "audio", "keep_alive", "finalize", "close_stream", "KeepAlive", "Finalize", "CloseStream", "Configure", "Speak", "Flush", "Clear"),
    *("Close", "session.update", "transcription_session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "start", "stop", "resume"),
    *("input_audio_buffer.clear", "conversation.item.create", "response.create", "response.cancel", "segment", "init", "text", "Metadata", "sing"),
)
NAMES = (
    *("type", "config", "data", "audio", "text", "language", "model", "interim_results", "vad_enabled", "custom_vocabulary", "diarize", "attributes"),
    *("translate_to", "num_speakers", "noise_suppression", "pause_ms", "keep_audio", "encoding", "sample_rate", "channels", "session", "session_id"),
    *(
        "punctuate",
        "smart_format",
        "keywords",
        "keyterm",
        "replace",
        "search",
        "redact",
        "endpointing",
        "utterance_end_ms",
        "callback",
        "tag",
        "extra",
    ),
    *(
        "event_id",
        "input_audio_format",
        "turn_detection",
        "item",
        "voice",
        "speed",
        "container",
        "bit_rate",
        "resume_from",
        "last_seen",
        "temperature",
    ),
)
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 8000, 16_000, 48_000, 10**6, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320),
    *("", " ", "true", "false", "0", "-1", "1e9", "nan", "linear16", "mulaw", "opus", "auto", "en", "en-US", "de", "xx", "a" * 1000, "null", "[]"),
    *("\u0000", "\ud800", "😀" * 50, "é\u0301", "\u202e", "../../etc/passwd", "http://127.0.0.1/", "' OR 1=1 --", "{{7*7}}", "%s%n", "\r\nX: y", "﷐"),
    *([], {}, [[]], [{}], {"": ""}, ["x"] * 2000, {"type": "configure"}, [None] * 10, "٣", "１６０００", "16000.0", "0x10", "1_000"),
)
RAW_JSON = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1" * 4301,
    "[" * 5000,
    '{"a":' * 5000,
    "{",
    "",
    "null",
    "\ufeff{}",
    '"\\ud800"',
    "[1,]",
    "{'a':1}",
    "00",
)


def value(rng: Random, depth: int = 0) -> Any:
    choice = rng.random()
    if depth < 4 and choice < 0.1:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if depth < 4 and choice < 0.2:
        return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if choice < 0.3:
        return base64.b64encode(rng.randbytes(rng.randrange(200))).decode()
    return rng.choice(STRANGE)


def json_text(rng: Random) -> str:
    if rng.random() < 0.1:
        return rng.choice(RAW_JSON)
    message = {rng.choice(NAMES): value(rng) for _ in range(rng.randrange(5))}
    if rng.random() < 0.9:
        message["type"] = rng.choice(KINDS) if rng.random() < 0.9 else value(rng)
    if rng.random() < 0.5:
        message[rng.choice(("config", "session", "data", "audio", "text"))] = (
            {rng.choice(NAMES): value(rng) for _ in range(rng.randrange(5))} if rng.random() < 0.6 else value(rng)
        )
    text = json.dumps(message)
    return mutated(rng, text.encode()).decode("utf-8", "replace") if rng.random() < 0.1 else text


def query(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(("", "?encoding=linear16&sample_rate=16000", "?encoding=mulaw&sample_rate=8000", "?interim_results=true&model=nova-3"))
    pairs = []
    for _ in range(rng.randrange(1, 5)):
        item = value(rng, depth=4)
        text = item if isinstance(item, str) else json.dumps(item)
        pairs.append(f"{rng.choice(NAMES)}={quote(text.encode('utf-8', 'surrogatepass'))}"[:2000])
    return "?" + "&".join(pairs)


def mutated(rng: Random, data: bytes, most: int = 8) -> bytes:
    """Some bytes changed, cut out, doubled, put in or made large numbers."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, most)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                del changed[at : at + rng.randrange(1, 64)]
            case 3:
                changed[at:at] = changed[at : at + rng.randrange(1, 64)]
            case 4:
                changed[at:at] = rng.randbytes(rng.randrange(1, 16))
            case 5:
                changed[at : at + 4] = rng.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", struct.pack("<I", rng.getrandbits(32)))
                )
            case 6:
                del changed[at:]
    return bytes(changed)


_REAL = {name: bombs.container(*shape, samples=bombs.tone(0.3, shape[2])) for name, shape in bombs.REAL.items()}


def container(rng: Random) -> bytes:
    """A real file of 0.3 s with damage, most of it near its beginning, where the headers are."""
    data = _REAL[rng.choice(list(_REAL))]
    if rng.random() < 0.05:
        return data + _REAL[rng.choice(list(_REAL))]
    if rng.random() < 0.7:
        head = rng.choice((64, 256, 1024))
        return mutated(rng, data[:head]) + data[head:]
    return mutated(rng, data, 30)


Message = tuple[str, Any]  # "text", "bytes", "ping" with what is sent; "abort" and "close" end the connection


# What clients of each WebSocket say when nothing is wrong with them.
_SILENCE = base64.b64encode(bytes(3200)).decode()
GOOD: dict[str, tuple[Any, ...]] = {
    "/ws/v1/transcribe": (
        {"type": "configure", "config": {"language": "en", "custom_vocabulary": ["a"]}},
        {"type": "audio", "data": _SILENCE},
        {"type": "finalize"},
        {"type": "keep_alive"},
    ),
    "/ws/stream": ({"type": "audio_chunk", "data": [0.0] * 1600}, {"type": "keep_alive"}),
    "/ws/v1/speak": ({"type": "text", "text": "One. Two. "}, {"type": "flush"}, {"type": "clear"}, {"type": "configure", "config": {"speed": 2}}),
    "/v1/speak": ({"type": "Speak", "text": "One. Two. "}, {"type": "Flush"}, {"type": "Clear"}),
    "/v1/listen": ({"type": "KeepAlive"}, {"type": "Finalize"}, {"type": "Configure", "processors": {}}),
    "/v2/listen": ({"type": "Configure", "thresholds": {"eot_threshold": 0.7}},),
    "/v1/realtime": (
        {"type": "session.update", "session": {"type": "transcription"}},
        {"type": "input_audio_buffer.append", "audio": _SILENCE},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
    ),
}


def good_conversation(rng: Random, path: str) -> list[Message]:
    """Mostly what the path is for, so that the odd message in it meets a session that has begun."""
    messages: list[Message] = []
    for _ in range(rng.randrange(3, 15)):
        choice = rng.random()
        if choice < 0.5:
            messages.append(("bytes", bytes(3200) if rng.random() < 0.8 else rng.randbytes(2 * rng.randrange(1, 2000))))
        elif choice < 0.9 and path in GOOD:
            messages.append(("text", json.dumps(rng.choice(GOOD[path]))))
        else:
            messages.append(("text", json_text(rng)))
    messages.append((rng.choice(("end", "end", "close", "abort")), None))
    return messages


def conversation(rng: Random) -> list[Message]:
    """What one client says over one WebSocket."""
    messages: list[Message] = []
    for _ in range(rng.randrange(1, 8)):
        choice = rng.random()
        if choice < 0.55:
            messages.append(("text", json_text(rng)))
        elif choice < 0.8:
            messages.append(("bytes", rng.choice((b"", b"\0", bytes(3200), rng.randbytes(rng.randrange(1, 2000)), b"\xff\xff\xff\x7f" * 50))))
        elif choice < 0.95:
            messages.append(("bytes", container(rng)))
        else:
            messages.append(("ping", rng.randbytes(rng.randrange(125))))
    messages.append((rng.choice(("end", "end", "close", "abort")), None))
    return messages


def frames(rng: Random) -> bytes:
    """Bytes after a handshake: frames with every rule of RFC 6455 broken now and then."""
    data = b""
    for _ in range(rng.randrange(1, 10)):
        payload = rng.choice((b"", b"{}", rng.randbytes(rng.randrange(200)), b'{"type":"keep_alive"}', b"\xff\xfe\xfd"))
        first = rng.getrandbits(8) if rng.random() < 0.3 else rng.choice((0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8A))
        claimed = rng.choice((2**63, 2**32, 2**63 - 1, 1 << 20)) if rng.random() < 0.05 else len(payload)
        mask = 0x80 if rng.random() < 0.9 else 0
        length = bytes([mask | claimed]) if claimed < 126 else bytes([mask | 126]) + struct.pack(">H", claimed) if claimed < 65536 else b""
        length = length or bytes([mask | 127]) + struct.pack(">Q", claimed)
        key = rng.randbytes(4)
        body = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload)) if mask else payload
        data += bytes([first]) + length + (key if mask else b"") + body
    return mutated(rng, data) if rng.random() < 0.2 else data


def http(rng: Random, paths: Sequence[str]) -> bytes:
    """A request as bytes, often no good one."""
    method = rng.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PATCH", "CONNECT", "get", "\0", "A" * 50))
    path = rng.choice(list(paths)) if rng.random() < 0.8 else rng.choice(("*", "/%00", "/%ff", "//", "/../..", "http://a/", "/%2e%2e/x", "", "/\xff"))
    body = rng.choice((b"", b"{}", b"null", json_text(rng).encode("utf-8", "replace"), rng.randbytes(50)))
    headers = ["Host: 127.0.0.1" if rng.random() < 0.9 else rng.choice(("Host:", "Host: a", "Host: 127.0.0.1\r\nHost: b", "X: y"))]
    headers.append(
        f"Content-Length: {len(body)}"
        if rng.random() < 0.8
        else rng.choice(("Content-Length: -1", "Content-Length: 1e3", "Transfer-Encoding: chunked"))
    )
    for _ in range(rng.randrange(4)):
        headers.append(
            rng.choice(
                (
                    *(
                        "Content-Type: application/json",
                        "Content-Type: multipart/form-data",
                        "Content-Type: ;",
                        "Content-Type: \xff",
                        "Connection: Upgrade",
                    ),
                    *(
                        "Upgrade: websocket",
                        "Sec-WebSocket-Key: x",
                        "Sec-WebSocket-Version: 13",
                        "Origin: null",
                        "Origin: \xff",
                        "Expect: 100-continue",
                    ),
                    *(
                        "Authorization: Bearer \xff",
                        "Authorization:",
                        "Range: bytes=0-",
                        "Accept: \xff",
                        "traceparent: \xff",
                        "Transfer-Encoding: gzip",
                    ),
                    *(
                        "Content-Encoding: gzip",
                        "Content-Length: 3",
                        "Sec-WebSocket-Protocol: token, \xff",
                        "x-api-key: \xff",
                        "Cookie: " + "a" * 4000,
                    ),
                )
            )
        )
    data = f"{method} {path}{query(rng) if rng.random() < 0.5 else ''} HTTP/1.1\r\n".encode("latin-1", "replace")
    data += "\r\n".join(headers).encode("latin-1", "replace") + b"\r\n\r\n" + body
    return mutated(rng, data) if rng.random() < 0.3 else data


def multipart(rng: Random) -> tuple[str, bytes]:
    """Content type and body of a form."""
    boundary = rng.choice(("x", "-" * 70, "a b", "é", "0123456789", ""))
    parts = b""
    for _ in range(rng.randrange(5)):
        content = container(rng) if rng.random() < 0.4 else json.dumps(value(rng)).encode()
        disposition = rng.choice(
            ('form-data; name="{}"; filename="a.wav"', 'form-data; name="{}"', "form-data", "attachment; filename*=utf-8''%ff", "\0", "")
        )
        name = rng.choice((*NAMES, "file", "response_format", "timestamp_granularities[]", "stream", "prompt", "chunking_strategy", ""))
        parts += f"--{boundary}\r\nContent-Disposition: {disposition.format(name)}\r\n".encode()
        parts += (
            rng.choice((b"", b"Content-Type: audio/wav\r\n", b"Content-Transfer-Encoding: base64\r\n", b": \r\n", b"X\r\n"))
            + b"\r\n"
            + content
            + b"\r\n"
        )
    body = parts + f"--{boundary}--\r\n".encode()
    content_type = rng.choice(
        (f"multipart/form-data; boundary={boundary}", f'multipart/form-data; boundary="{boundary}"', "multipart/form-data", "audio/wav")
    )
    return content_type, mutated(rng, body) if rng.random() < 0.5 else body


def _recognize(rng: Random) -> Any:
    config = services_pb2.RecognitionConfig(
        encoding=rng.choice((0, 1, 2, 3, 99)),
        sample_rate_hertz=rng.choice((0, 16_000, 8_000, 2**31 - 1, 44_100)),
        audio_channel_count=rng.choice((0, 1, 2, 99)),
        language_code=rng.choice(("", "en", "en-US", "xx", "a" * 500)),
        model=rng.choice(("", "nova-3", "\0")),
        custom_vocabulary=rng.choice(([], ["a"], ["x"] * 2000, [""], ["é" * 200])),
    )
    audio = rng.choice((b"", bytes(3200), rng.randbytes(rng.randrange(1000)), container(rng)))
    return services_pb2.RecognizeRequest(config=config, audio=audio)


def recognize_request(rng: Random) -> bytes:
    """A serialized RecognizeRequest, damaged now and then."""
    data = _recognize(rng).SerializeToString()
    return mutated(rng, data) if rng.random() < 0.4 else data


def streaming_requests(rng: Random) -> list[bytes]:
    """Serialized StreamingRecognizeRequests in any order."""
    requests = []
    for index in range(rng.randrange(1, 6)):
        whole = _recognize(rng)
        if (index == 0) is (rng.random() < 0.9):
            config = services_pb2.StreamingRecognitionConfig(config=whole.config, interim_results=rng.random() < 0.5)
            request = services_pb2.StreamingRecognizeRequest(streaming_config=config)
        else:
            request = services_pb2.StreamingRecognizeRequest(audio_content=whole.audio)
        data = request.SerializeToString()
        requests.append(mutated(rng, data) if rng.random() < 0.2 else data)
    return requests
