"""POST /v1/audio/transcriptions and /v1/audio/translations over real sockets, as OpenAI's clients send them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from services.gateway.protocols.openai import form
from services.gateway.protocols.openai.answers import Letters
from services.gateway.protocols.openai.languages import BY_CODE, name_of
from services.gateway.server import GatewayServer
from tests.unit.gateway import conftest
from tests.unit.gateway.test_native import _wav
from voxrelay.storage.access import AccessStore

TRANSCRIPTIONS = "/v1/audio/transcriptions"
FORM = {"content-type": "multipart/form-data; boundary=x"}
FIELD = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n--x--\r\n'
Fields = Sequence[tuple[str, str]]


def post(gateway: GatewayServer, fields: Fields = (), path: str = TRANSCRIPTIONS, audio: bytes = b"") -> httpx.Response:
    """The fields as parts without a file name, as clients send them, the file last."""
    parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in fields]
    return httpx.post(f"http://127.0.0.1:{gateway.port}{path}", files=[*parts, ("file", ("speech.wav", audio or _wav()))], timeout=30)


def error(answer: httpx.Response) -> dict[str, Any]:
    found = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert isinstance(found, dict)
    return found


# --- formats ------------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("openai", "call POST /v1/audio/transcriptions", "done")
@pytest.mark.conformance("openai", "format json", "done")
@pytest.mark.conformance("openai", "parameter file", "done", "its bytes decide what it is")
@pytest.mark.conformance("openai", "parameter model", "accepted without effect", "the engine in use answers, whatever the name")
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "anything"])
def test_json(gateway: GatewayServer, model: str) -> None:
    answer = post(gateway, [("model", model)])
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"text": "hello u1 hello u2", "languages": [{"code": "en"}], "usage": {"type": "duration", "seconds": 2.0}}
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.conformance("openai", "format text", "done")
@pytest.mark.conformance("openai", "format srt", "done")
@pytest.mark.conformance("openai", "format vtt", "done")
@pytest.mark.conformance("openai", "parameter response_format", "done")
@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ("text", "hello u1 hello u2\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\nhello u1\n\n2\n00:00:01,000 --> 00:00:02,000\nhello u2\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nhello u1\n\n00:00:01.000 --> 00:00:02.000\nhello u2\n"),
    ],
)
def test_plain_formats(gateway: GatewayServer, response_format: str, expected: str) -> None:
    assert post(gateway, [("response_format", response_format)]).text == expected


@pytest.mark.conformance("openai", "format verbose_json", "done", "tokens, temperature and no_speech_prob are Whisper's own: [], 0 and 0")
def test_verbose_json_has_segments(gateway: GatewayServer) -> None:
    answer = post(gateway, [("response_format", "verbose_json")]).json()
    assert (answer["task"], answer["language"], answer["duration"], answer["text"]) == ("transcribe", "english", 2.0, "hello u1 hello u2")
    assert "words" not in answer
    second = answer["segments"][1]
    assert (second["id"], second["seek"], second["start"], second["end"], second["text"]) == (1, 100, 1.0, 2.0, "hello u2")
    assert second["avg_logprob"] == pytest.approx(-0.1054, abs=1e-4)
    assert {"tokens", "temperature", "compression_ratio", "no_speech_prob"} <= set(second)
    assert answer["usage"] == {"type": "duration", "seconds": 2.0}


@pytest.mark.conformance("openai", "parameter timestamp_granularities[]", "done")
@pytest.mark.parametrize(
    ("granularities", "has_segments", "has_words"), [(["word"], False, True), (["segment"], True, False), (["word", "segment"], True, True)]
)
def test_granularities(gateway: GatewayServer, granularities: list[str], has_segments: bool, has_words: bool) -> None:
    fields = [("response_format", "verbose_json"), *(("timestamp_granularities[]", granularity) for granularity in granularities)]
    answer = post(gateway, fields).json()
    assert ("segments" in answer, "words" in answer) == (has_segments, has_words)
    if has_words:
        assert answer["words"][1] == {"word": "u1", "start": 0.0, "end": 1.0}


@pytest.mark.conformance("openai", "format diarized_json", "done")
def test_diarized_json(gateway: GatewayServer) -> None:
    answer = post(gateway, [("response_format", "diarized_json"), ("chunking_strategy", "auto")]).json()
    assert (answer["task"], answer["duration"], answer["text"]) == ("transcribe", 2.0, "hello u1 hello u2")
    assert answer["segments"] == [
        {"type": "transcript.text.segment", "id": "seg_1", "start": 0.0, "end": 1.0, "text": "hello u1", "speaker": "A"},
        {"type": "transcript.text.segment", "id": "seg_2", "start": 1.0, "end": 2.0, "text": "hello u2", "speaker": "B"},
    ]


def test_other_formats_do_not_wait_for_speakers(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(leave_out=("diarize", "classify", "classify.text"), stage_timeout_s=1.0)
    assert post(gateway).status_code == 200
    refused = post(gateway, [("response_format", "diarized_json")])
    assert (refused.status_code, error(refused)["type"], error(refused)["code"]) == (504, "server_error", "stage_timeout")


@pytest.mark.conformance("openai", "parameter include[] (logprobs)", "done", "a token is a word, its probability the engine's confidence in it")
def test_logprobs(gateway: GatewayServer) -> None:
    logprobs = post(gateway, [("include[]", "logprobs")]).json()["logprobs"]
    assert "".join(entry["token"] for entry in logprobs) == "hello u1 hello u2"
    assert logprobs[1] == {"token": " u1", "bytes": list(b" u1"), "logprob": -0.1054}


# --- parameters -----------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("openai", "parameter language", "done")
@pytest.mark.conformance("openai", "parameter languages[]", "done", "the one that is known here; several: the language is detected")
@pytest.mark.conformance("openai", "parameter keywords[]", "done", "custom vocabulary")
@pytest.mark.conformance("openai", "parameter prompt", "done", "a list of terms becomes custom vocabulary; running text has no effect")
@pytest.mark.conformance("openai", "parameter temperature", "accepted without effect", "the engine is deterministic")
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([("language", "en"), ("temperature", "0.2")], "hello u1 hello u2"),
        ([("languages[]", "de"), ("languages[]", "en")], "hello u1 hello u2"),
        ([("keywords[]", "Kenobi"), ("keywords[]", "General Grievous")], "hello u1 Kenobi General Grievous hello u2 Kenobi General Grievous"),
        ([("keywords", "Kenobi")], "hello u1 Kenobi hello u2 Kenobi"),
        ([("prompt", "Zyntrix, Digique Plus.")], "hello u1 Zyntrix Digique Plus hello u2 Zyntrix Digique Plus"),
        ([("prompt", "The transcript is about a company that makes things.")], "hello u1 hello u2"),
    ],
)
def test_what_is_asked_for(gateway: GatewayServer, fields: Fields, text: str) -> None:
    assert post(gateway, fields).json()["text"] == text


@pytest.mark.conformance("openai", "parameter chunking_strategy (auto)", "accepted without effect", "files are always cut at pauses")
@pytest.mark.conformance("openai", "parameter chunking_strategy[silence_duration_ms]", "done")
@pytest.mark.conformance("openai", "parameter chunking_strategy[threshold]", "accepted without effect", "the detector has its own")
@pytest.mark.conformance("openai", "parameter chunking_strategy[prefix_padding_ms]", "accepted without effect", "300 ms")
def test_the_pause_is_the_sessions(gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = form._asked

    def asked(*arguments: Any) -> Any:
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(form, "_asked", asked)
    fields = [("type", "server_vad"), ("silence_duration_ms", "700"), ("threshold", "0.4"), ("prefix_padding_ms", "200")]
    assert post(gateway, [(f"chunking_strategy[{name}]", value) for name, value in fields]).status_code == 200
    assert post(gateway, [("chunking_strategy", "auto")]).status_code == 200
    assert [each.config.pause_ms for each in seen] == [700, 0]


@pytest.mark.conformance("openai", "parameter known_speaker_names[]", "refused", "speakers are lettered, not known by name")
@pytest.mark.conformance("openai", "parameter known_speaker_references[]", "refused", "speakers are lettered, not known by name")
@pytest.mark.conformance("openai", "unknown fields", "refused", "nothing a client asks for is passed over in silence")
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ([("known_speaker_names[]", "agent")], "known_speaker_names[]", "not_supported"),
        ([("known_speaker_references[]", "data:audio/wav;base64,AAAA")], "known_speaker_references[]", "not_supported"),
        ([("vad_filter", "true")], "vad_filter", "invalid_parameter"),
        ([("response_format", "xml")], "response_format", "invalid_parameter"),
        ([("temperature", "hot")], "temperature", "invalid_parameter"),
        ([("temperature", "nan")], "temperature", "invalid_parameter"),
        ([("stream", "perhaps")], "stream", "invalid_parameter"),
        ([("stream", "true"), ("response_format", "srt")], "response_format", "invalid_parameter"),
        ([("language", "tlh")], "language", "unsupported_language"),
        ([("languages[]", "tlh")], "languages[]", "unsupported_language"),
        ([("language", "en"), ("language", "de")], "language", "invalid_parameter"),
        ([("include[]", "everything")], "include[]", "invalid_parameter"),
        ([("include[]", "logprobs"), ("response_format", "text")], "include[]", "invalid_parameter"),
        ([("timestamp_granularities[]", "word")], "timestamp_granularities[]", "invalid_parameter"),
        ([("timestamp_granularities[]", "page"), ("response_format", "verbose_json")], "timestamp_granularities[]", "invalid_parameter"),
        ([("chunking_strategy", "never")], "chunking_strategy", "invalid_parameter"),
        ([("chunking_strategy[type]", "semantic")], "chunking_strategy[type]", "invalid_parameter"),
        ([("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "2")], "chunking_strategy[threshold]", "invalid_parameter"),
        ([("keywords[]", "k" * 101)], "keywords[]", "invalid_parameter"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(gateway: GatewayServer, fields: Fields, param: str, code: str) -> None:
    answer = post(gateway, fields)
    assert answer.status_code == 400
    assert (error(answer)["param"], error(answer)["code"], error(answer)["type"]) == (param, code, "invalid_request_error")


# --- the form -------------------------------------------------------------------------------------------------------------------


def test_fields_may_come_after_the_file(gateway: GatewayServer) -> None:
    parts = [("file", ("speech.wav", _wav())), ("keywords[]", (None, "Kenobi")), ("response_format", (None, "text"))]
    answer = httpx.post(f"http://127.0.0.1:{gateway.port}{TRANSCRIPTIONS}", files=parts, timeout=30)
    assert answer.text == "hello u1 Kenobi hello u2 Kenobi\n"


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (_wav(), {"content-type": "audio/wav"}, "invalid_message"),
        (b"--x\r\nnonsense", FORM, "invalid_message"),
        (FIELD[:-7] % b"m", FORM, "invalid_message"),
        (FIELD % b"m", FORM, "empty_audio"),
        (FIELD % b"\xff", FORM, "invalid_message"),
    ],
)
def test_a_form_that_cannot_be_read(gateway: GatewayServer, content: bytes, headers: dict[str, str], code: str) -> None:
    answer = httpx.post(f"http://127.0.0.1:{gateway.port}{TRANSCRIPTIONS}", content=content, headers=headers, timeout=30)
    assert (answer.status_code, error(answer)["code"]) == (400, code)


def test_fields_are_bounded_in_number_and_size(gateway: GatewayServer) -> None:
    many = post(gateway, [("keywords[]", "k")] * 2001)
    large = post(gateway, [("prompt", "p" * (1024 * 1024 + 1))])
    assert [(answer.status_code, error(answer)["code"]) for answer in (many, large)] == [(400, "invalid_message")] * 2
    assert "prompt" in error(large)["message"]


@pytest.mark.parametrize(
    ("audio", "status", "code"), [(b"Dear Sir, this is a letter.", 400, "invalid_audio_format"), (_wav()[:44], 400, "truncated_audio")]
)
@pytest.mark.parametrize("stream", ["false", "true"])
def test_audio_that_is_none(gateway: GatewayServer, audio: bytes, status: int, code: str, stream: str) -> None:
    answer = post(gateway, [("stream", stream)], audio=audio)
    assert (answer.status_code, error(answer)["code"]) == (status, code)


def test_files_have_a_largest_size(make_gateway: Callable[..., GatewayServer]) -> None:
    answer = post(make_gateway(max_file_bytes=20_000))
    assert (answer.status_code, error(answer)["code"]) == (413, "file_too_large")


@pytest.mark.conformance("openai", "key Authorization: Bearer", "done")
def test_a_key_is_asked_for(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    _, secret = access.create_key("somebody", "enterprise")
    gateway = make_gateway(database_url=access.url)
    refused = post(gateway)
    assert (refused.status_code, error(refused)["code"]) == (401, "invalid_api_key")
    url = f"http://127.0.0.1:{gateway.port}{TRANSCRIPTIONS}"
    assert httpx.post(url, files={"file": ("a.wav", _wav())}, headers={"authorization": f"Bearer {secret}"}, timeout=30).status_code == 200


# --- streams --------------------------------------------------------------------------------------------------------------------


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Of server-sent events, up to [DONE], which must be the last."""
    for line in lines:
        assert not line or line.startswith("data: "), line
        if line == "data: [DONE]":
            assert not any(lines)
            return
        if line:
            yield json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended without [DONE]")


@pytest.mark.conformance("openai", "parameter stream", "done")
@pytest.mark.conformance("openai", "event transcript.text.delta", "done")
@pytest.mark.conformance("openai", "event transcript.text.done", "done", "without usage: its only form counts tokens, and there are none")
@pytest.mark.conformance("openai", "event [DONE]", "done")
def test_a_stream(gateway: GatewayServer) -> None:
    answer = post(gateway, [("stream", "true"), ("include[]", "logprobs")])
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, second, done = events(answer.iter_lines())
    assert (first["type"], first["delta"]) == ("transcript.text.delta", "hello u1")
    assert (second["type"], second["delta"]) == ("transcript.text.delta", " hello u2")
    assert (done["type"], done["text"]) == ("transcript.text.done", "hello u1 hello u2")
    assert done["logprobs"] == first["logprobs"] + second["logprobs"]
    assert "".join(entry["token"] for entry in done["logprobs"]) == done["text"]


@pytest.mark.conformance("openai", "event transcript.text.segment", "done")
def test_a_diarized_stream(gateway: GatewayServer) -> None:
    told = list(events(post(gateway, [("stream", "true"), ("response_format", "diarized_json")]).iter_lines()))
    kinds = ["transcript.text.delta", "transcript.text.segment"] * 2 + ["transcript.text.done"]
    assert [event["type"] for event in told] == kinds
    assert [event["segment_id"] for event in told if "segment_id" in event] == ["seg_1", "seg_2"]
    assert [event["speaker"] for event in told if "speaker" in event] == ["A", "B"]
    assert "".join(event["delta"] for event in told if "delta" in event) == told[-1]["text"]


def test_a_stream_comes_while_the_file_is_worked_on(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second utterance is not transcribed before the client has read the first."""
    has_read = threading.Event()
    original = conftest.transcribe

    def transcribe(ended: Any, config: Any) -> Iterator[Any]:
        if ended.utterance_id == "u2":
            assert has_read.wait(20)
        yield from original(ended, config)

    monkeypatch.setattr(conftest, "transcribe", transcribe)
    gateway = make_gateway()
    parts = [("stream", (None, "true")), ("file", ("speech.wav", _wav()))]
    with httpx.stream("POST", f"http://127.0.0.1:{gateway.port}{TRANSCRIPTIONS}", files=parts, timeout=30) as answer:
        told = events(answer.iter_lines())
        assert next(told)["delta"] == "hello u1"
        has_read.set()
        assert [event["type"] for event in told] == ["transcript.text.delta", "transcript.text.done"]


@pytest.mark.conformance("openai", "error in mid-stream", "done")
def test_an_error_in_mid_stream_is_the_last_event(make_gateway: Callable[..., GatewayServer], monkeypatch: pytest.MonkeyPatch) -> None:
    has_read = threading.Event()
    original = conftest.transcribe

    def transcribe(ended: Any, config: Any) -> Iterator[Any]:
        if ended.utterance_id == "u2":
            assert has_read.wait(20)
        yield from original(ended, config)

    monkeypatch.setattr(conftest, "transcribe", transcribe)
    answer = post(make_gateway(stage_timeout_s=0.5), [("stream", "true")])
    has_read.set()
    assert answer.status_code == 200
    first, last = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    assert first["delta"] == "hello u1"
    assert (last["error"]["type"], last["error"]["code"]) == ("server_error", "stage_timeout")
    assert "transcribe" in last["error"]["message"]


# --- translations ---------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("openai", "call POST /v1/audio/translations", "refused", "no engine here translates; the error names the one that does")
def test_translations_name_what_would_translate(gateway: GatewayServer) -> None:
    answer = post(gateway, [("model", "whisper-1"), ("prompt", "x"), ("response_format", "srt"), ("temperature", "0")], "/v1/audio/translations")
    assert (answer.status_code, error(answer)["code"]) == (501, "no_translation")
    assert "faster-whisper" in error(answer)["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert error(post(gateway, [("language", "en")], "/v1/audio/translations"))["param"] == "language"


# --- small things ---------------------------------------------------------------------------------------------------------------


def test_speakers_are_lettered_beyond_z() -> None:
    letters = Letters()
    given = [letters.of(f"S{number}") for number in range(54)]
    assert (given[0], given[25], given[26], given[53]) == ("A", "Z", "AA", "BB")
    assert letters.of("S1") == "B"
    assert letters.of("") == "unknown"


def test_language_names() -> None:
    assert (name_of("en-GB"), name_of("ht"), name_of("xx"), name_of("")) == ("english", "haitian creole", "xx", "")
    assert all(len(code) == 2 for code in BY_CODE)
