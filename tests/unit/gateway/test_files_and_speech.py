"""POST /api/process and POST /v1/speak, good input and bad."""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import av
import httpx
import numpy as np
import pytest

from services.gateway.audio.decode import decoded
from services.gateway.server import GatewayServer
from tests.unit.gateway import conftest
from tests.unit.gateway.conftest import transcribe
from tests.unit.gateway.test_native import RATE_HZ, _wav
from voxrelay.errors import Refused
from voxrelay.events import AudioReceived, SessionEnded, UtteranceEnded


def _client(gateway: GatewayServer) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=30)


def _container(container: str, codec: str, rate_hz: int = 48_000) -> bytes:
    """A second of a tone."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono")
        samples = (np.sin(np.arange(rate_hz) * 0.05) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for resampled in av.AudioResampler(stream.format, "mono", rate_hz, frame_size=stream.frame_size or 1024).resample(frame):
            for packet in stream.encode(resampled):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return target.getvalue()


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("mp4", "aac"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("matroska", "aac"),
        ("adts", "aac"),
    ],
)
def test_every_container_is_told_by_its_bytes(gateway: GatewayServer, container: str, codec: str) -> None:
    with _client(gateway) as client:
        answer = client.post("/api/process", content=_container(container, codec), headers={"content-type": "text/plain"})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["utterances"][0]["transcript"] == "hello u1"
    assert 0.9 < result["audio_seconds"] < 1.2


def test_a_form_and_parameters(gateway: GatewayServer) -> None:
    with _client(gateway) as client:
        answer = client.post(
            "/api/process", params={"custom_vocabulary": "kenobi,grievous"}, files={"file": ("call.exe", _wav()), "other": ("x.wav", b"nothing")}
        )
    utterance = answer.json()["utterances"][0]
    assert utterance["transcript"] == "hello u1 kenobi grievous"
    assert utterance["words"][0]["speaker"] == "S1"
    assert utterance["attributes"]["gender"]["value"] == "female"


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (b"", "", 400, "EMPTY_AUDIO"),
        (b"Dear Sir, this is a letter and not a call.", "", 415, "INVALID_AUDIO_FORMAT"),
        (bytes(range(256)) * 4, "", 415, "INVALID_AUDIO_FORMAT"),
        (_wav()[:44], "", 400, "TRUNCATED_AUDIO"),
        (_container("mp4", "aac")[:500], "", 415, "INVALID_AUDIO_FORMAT"),
        (_wav(), "?colour=red", 400, "INVALID_PARAMETER"),
        (_wav(), "?sample_rate=8000", 400, "INVALID_PARAMETER"),
        (_wav(), "?language=tlh", 400, "UNSUPPORTED_LANGUAGE"),
        (_wav(), "?translate_to=de", 501, "NO_TRANSLATION"),
    ],
)
def test_bad_files(gateway: GatewayServer, body: bytes, query: str, status: int, code: str) -> None:
    with _client(gateway) as client:
        answer = client.post(f"/api/process{query}", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert len(answer.json()["error"]["message"]) > 15
        assert client.get("/health").status_code == 200


def test_limits_of_size_and_length(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(max_file_bytes=20_000, max_audio_s=0.5)
    with _client(gateway) as client:
        for headers in ({}, {"transfer-encoding": "chunked"}):
            content: Any = iter([_wav()] * 3) if headers else _wav() * 3
            answer = client.post("/api/process", content=content, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "FILE_TOO_LARGE")
        answer = client.post("/api/process", content=_container("mp3", "libmp3lame"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "AUDIO_TOO_LONG")


def test_a_form_that_is_broken(gateway: GatewayServer) -> None:
    with _client(gateway) as client:
        answer = client.post("/api/process", content=b"--x\r\nnonsense", headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400


def test_a_file_waits_for_all_stages_and_names_the_one_that_does_not_answer(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("diarize",), stage_timeout_s=0.5)
    with _client(gateway) as client:
        answer = client.post("/api/process", content=_wav())
        assert answer.status_code == 504
        assert "diarize" in answer.json()["error"]["message"]
        assert client.post("/api/process?diarize=false", content=_wav()).json()["utterances"][0]["speaker"] is None


def test_a_file_waits_for_its_turn_while_a_stage_is_at_work_on_others(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(ended: UtteranceEnded, config: Any) -> Sequence[Any]:
        time.sleep(0.6)
        return transcribe(ended, config)

    monkeypatch.setattr(conftest, "transcribe", slow)
    gateway = make_gateway(stage_timeout_s=1.0)  # five files take three seconds
    with _client(gateway) as client, ThreadPoolExecutor(5) as callers:
        answers = list(callers.map(lambda _: client.post("/api/process", content=_wav()), range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5


def test_a_file_goes_on_the_log_in_long_pieces_and_so_does_what_came_before_its_end(
    make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: SimpleQueue[bytes] = SimpleQueue()
    handle = conftest.ScriptedDenoise._handle

    def listening(self: Any, session: str, payload: Any, state: dict[str, Any]) -> Iterator[Any]:
        if isinstance(payload, AudioReceived | SessionEnded):
            heard.put(payload.pcm_s16le if isinstance(payload, AudioReceived) else b"")
        return handle(self, session, payload, state)

    monkeypatch.setattr(conftest.ScriptedDenoise, "_handle", listening)
    sent, most_s = _container("wav", "pcm_s16le", 16_000), 0.93
    before: list[bytes] = []
    with pytest.raises(Refused, match="send it in parts"):
        before.extend(pcm for _, pcm in decoded(io.BytesIO(sent), most_s))
    with _client(make_gateway(max_audio_s=most_s)) as client:
        assert client.post("/api/process", content=sent).status_code == 413
        chunks = list(iter(partial(heard.get, timeout=10), b""))
    assert b"".join(chunks) == b"".join(before)
    assert 0.8 <= len(chunks[0]) / 2 / 16_000 < 0.9
    assert len(chunks) == 2 < len(before)


# --- speech ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio_format", ["wav", "pcm", "flac", "mp3", "opus"])
def test_speech_in_every_format(gateway: GatewayServer, audio_format: str) -> None:
    with _client(gateway) as client:
        answer = client.post("/v1/speak", json={"text": "Hello.", "format": audio_format, "sample_rate": RATE_HZ})
    assert answer.status_code == 200
    assert answer.headers["x-session-id"]
    if audio_format == "pcm":
        assert len(answer.content) == 6000
        return
    with av.open(io.BytesIO(answer.content)) as container:
        samples = sum(frame.samples * RATE_HZ // frame.sample_rate for frame in container.decode(audio=0))
    assert 2900 < samples < 6000
    if audio_format == "wav":
        with wave.open(io.BytesIO(answer.content)) as file:
            assert file.getframerate() == RATE_HZ


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": ""}, 400, "INVALID_PARAMETER"),
        ({}, 400, "INVALID_PARAMETER"),
        ({"text": "Hi.", "format": "gramophone"}, 400, "INVALID_PARAMETER"),
        ({"text": "Hi.", "speed": 40}, 400, "INVALID_PARAMETER"),
        ({"text": "Hi.", "sample_rate": 4000}, 400, "UNSUPPORTED_SAMPLE_RATE"),
        ({"text": "x" * 20_001}, 413, "TEXT_TOO_LONG"),
        ({"text": "Hi.", "voice": "nobody"}, 400, "UNKNOWN_VOICE"),
    ],
)
def test_bad_requests_for_speech(gateway: GatewayServer, body: dict[str, Any], status: int, code: str) -> None:
    with _client(gateway) as client:
        answer = client.post("/v1/speak", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_no_synth_is_said(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("synth",), stage_timeout_s=0.3)
    with _client(gateway) as client:
        assert client.post("/v1/speak", json={"text": "Hello?"}).json()["error"]["code"] == "STAGE_TIMEOUT"


def test_openapi_describes_files_speech_and_errors(gateway: GatewayServer) -> None:
    with _client(gateway) as client:
        document = client.get("/openapi.json").json()
    assert {"/api/process", "/v1/speak", "/health", "/ready", "/metrics"} <= document["paths"].keys()
    assert "413" in document["paths"]["/api/process"]["post"]["responses"]
