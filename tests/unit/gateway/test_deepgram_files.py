"""POST /v1/listen, /v1/auth/grant and /v1/models over real sockets: every parameter, good input and bad."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from services.gateway.protocols.deepgram.file_parameters import FILE
from services.gateway.protocols.deepgram.flux_parameters import FLUX
from services.gateway.protocols.deepgram.parameters import COMMON
from services.gateway.server import GatewayServer
from tests.unit.gateway.test_native import RATE_HZ, _wav

PAGE = Path(__file__).resolve().parents[3] / "docs" / "protocols" / "deepgram.md"


def _seconds(count: float, channels: int = 1) -> bytes:
    """A wav of a tone on every channel."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        tone = (np.sin(np.arange(int(count * RATE_HZ)) * 0.05) * 8000).astype("<i2")
        file.writeframes(np.repeat(tone, channels).tobytes())
    return target.getvalue()


def _client(gateway: GatewayServer) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=30)


def listen(gateway: GatewayServer, content: Any = None, **query: Any) -> Any:
    """The answer to a file of three seconds, which are three utterances here: "hello u1", "hello u2", "hello u3"."""
    with _client(gateway) as client:
        answer = client.post("/v1/listen", params=query, content=content if content is not None else _seconds(3))
    assert answer.status_code == 200, answer.text
    return answer.json()


def alternative(answer: Any, channel: int = 0) -> Any:
    return answer["results"]["channels"][channel]["alternatives"][0]


@pytest.mark.conformance("deepgram", "call POST /v1/listen", "done")
def test_the_shape_of_an_answer(gateway: GatewayServer) -> None:
    body = _seconds(3)
    with _client(gateway) as client:
        answer = client.post("/v1/listen", params={"model": "nova-3"}, content=body, headers={"content-type": "text/plain"})
    result = answer.json()
    metadata = result["metadata"]
    assert set(metadata) == {"transaction_key", "request_id", "sha256", "created", "duration", "channels", "models", "model_info"}
    assert metadata["sha256"] == hashlib.sha256(body).hexdigest()
    assert metadata["request_id"] == answer.headers["dg-request-id"]
    assert (metadata["duration"], metadata["channels"], metadata["created"][-1]) == (3.0, 1, "Z")
    assert list(metadata["model_info"]) == metadata["models"]
    assert set(metadata["model_info"][metadata["models"][0]]) == {"name", "version", "arch"}
    assert list(result["results"]) == ["channels"]
    assert list(result["results"]["channels"][0]) == ["alternatives"]
    assert alternative(result) == {
        "transcript": "hello u1 hello u2 hello u3",
        "confidence": 0.9,
        "words": [
            {"word": word, "start": float(second), "end": second + 1.0, "confidence": 0.9}
            for second in range(3)
            for word in ("hello", f"u{second + 1}")
        ],
    }


def test_a_chunked_body(gateway: GatewayServer) -> None:
    body = _seconds(1)
    answer = listen(gateway, iter([body[:10], body[10:5000], body[5000:]]))
    assert alternative(answer)["transcript"] == "hello u1"
    assert answer["metadata"]["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.conformance("deepgram", "parameter punctuate", "done")
@pytest.mark.conformance("deepgram", "parameter smart_format", "done")
def test_punctuation(gateway: GatewayServer) -> None:
    for query in ({"punctuate": "True"}, {"smart_format": "true"}):
        found = alternative(listen(gateway, **query))
        assert found["transcript"] == "Hello u1. Hello u2. Hello u3."
        assert (found["words"][1]["word"], found["words"][1]["punctuated_word"]) == ("u1", "u1.")


@pytest.mark.conformance("deepgram", "parameter keyterm", "done")
@pytest.mark.conformance("deepgram", "parameter keywords", "done")
def test_vocabulary(gateway: GatewayServer) -> None:
    assert alternative(listen(gateway, _wav(), keyterm=["kenobi", "grievous"], keywords=["yoda:2", "vader:-1"]))["transcript"].startswith(
        "hello u1 kenobi grievous yoda"
    )


# What is said in the scripted platform is "hello u1" and the vocabulary: so the vocabulary says it.
@pytest.mark.conformance("deepgram", "parameter numerals", "done")
@pytest.mark.conformance("deepgram", "parameter measurements", "done")
@pytest.mark.conformance("deepgram", "parameter dictation", "done")
@pytest.mark.conformance("deepgram", "parameter profanity_filter", "done")
@pytest.mark.conformance("deepgram", "parameter filler_words", "done")
@pytest.mark.conformance("deepgram", "parameter redact", "done")
@pytest.mark.conformance("deepgram", "parameter replace", "done")
@pytest.mark.parametrize(
    ("said", "query", "expected"),
    [
        ("twenty three", {"numerals": "true"}, "hello u1 23"),
        ("five kilometers", {"measurements": "true"}, "hello u1 5 km"),
        ("yes comma no", {"dictation": "true"}, "hello u1 yes, no"),
        ("bloody shit", {"profanity_filter": "true"}, "hello u1 bloody s***"),
        ("uh yes", {}, "hello u1 yes"),
        ("uh yes", {"filler_words": "true"}, "hello u1 uh yes"),
        ("my four zero four", {"redact": "numbers"}, "hello u1 my [REDACTED]"),
        ("my four zero four", {"redact": ["pci", "ssn"]}, "hello u1 my four zero four"),
        ("one two three four five six seven eight nine", {"redact": "ssn"}, "hello u1 [REDACTED]"),
        ("a seven", {"redact": "aggressive_numbers"}, "hello u1 a [REDACTED]"),
        ("the end", {"replace": ["hello:Good day", "u1"]}, "Good day the end"),
    ],
)
def test_wording(gateway: GatewayServer, said: str, query: dict[str, Any], expected: str) -> None:
    found = alternative(listen(gateway, _seconds(1), keyterm=said, **query))
    assert found["transcript"] == expected
    if "redact" in query and "[REDACTED]" in expected:
        assert not any(word["word"] in said.split()[1:] for word in found["words"])


@pytest.mark.conformance("deepgram", "parameter search", "done")
def test_search(gateway: GatewayServer) -> None:
    found = listen(gateway, search=["u2", "zebra"])["results"]["channels"][0]["search"]
    assert [one["query"] for one in found] == ["u2", "zebra"]
    assert found[0]["hits"][0] == {"confidence": 1.0, "start": 1.0, "end": 2.0, "snippet": "u2"}
    assert found[1]["hits"] == []


@pytest.mark.conformance("deepgram", "parameter diarize", "done")
@pytest.mark.conformance("deepgram", "parameter diarize_model", "done", "one engine answers to every name")
def test_speakers(gateway: GatewayServer) -> None:
    for query in ({"diarize": "true"}, {"diarize_model": "latest"}):
        words = alternative(listen(gateway, **query))["words"]
        assert [word["speaker"] for word in words] == [0, 0, 1, 1, 0, 0]
        assert {word["speaker_confidence"] for word in words} == {0.8}


@pytest.mark.conformance("deepgram", "parameter paragraphs", "done")
def test_paragraphs(gateway: GatewayServer) -> None:
    found = alternative(listen(gateway, paragraphs="true", diarize="true"))["paragraphs"]
    assert found["transcript"] == "Speaker 0: Hello u1.\n\nSpeaker 1: Hello u2.\n\nSpeaker 0: Hello u3."
    sentence = {"text": "Hello u2.", "start": 1.0, "end": 2.0}
    assert found["paragraphs"][1] == {"sentences": [sentence], "speaker": 1, "num_words": 2, "start": 1.0, "end": 2.0}
    together = alternative(listen(gateway, paragraphs="true"))["paragraphs"]["paragraphs"]
    assert [len(paragraph["sentences"]) for paragraph in together] == [3]


@pytest.mark.conformance("deepgram", "parameter utterances", "done")
@pytest.mark.conformance("deepgram", "parameter utt_split", "done")
def test_utterances(gateway: GatewayServer) -> None:
    found = listen(gateway, utterances="true", diarize="true")["results"]["utterances"]
    assert [(one["transcript"], one["speaker"], one["channel"]) for one in found] == [("hello u1", 0, 0), ("hello u2", 1, 0), ("hello u3", 0, 0)]
    assert {"start", "end", "confidence", "words", "id"} <= set(found[0])
    together = listen(gateway, utterances="true")["results"]["utterances"]
    assert [one["transcript"] for one in together] == ["hello u1 hello u2 hello u3"]
    assert len(listen(gateway, utterances="true", utt_split="0")["results"]["utterances"]) == 3


@pytest.mark.conformance("deepgram", "parameter detect_language", "done")
@pytest.mark.conformance("deepgram", "parameter language", "done")
def test_languages(gateway: GatewayServer) -> None:
    assert listen(gateway, detect_language="true")["results"]["channels"][0]["detected_language"] == "en"
    assert listen(gateway, detect_language=["de", "en"])["results"]["channels"][0]["detected_language"] == "en"
    assert "detected_language" not in listen(gateway, language="en-GB", detect_language="false")["results"]["channels"][0]


@pytest.mark.conformance("deepgram", "parameter sentiment", "done", "files; a segment for every utterance")
def test_sentiment(gateway: GatewayServer) -> None:
    found = listen(gateway, sentiment="true", punctuate="true")
    segments = found["results"]["sentiments"]["segments"]
    assert [(one["text"], one["start_word"], one["end_word"]) for one in segments] == [("Hello u1.", 0, 1), ("Hello u2.", 2, 3), ("Hello u3.", 4, 5)]
    assert {one["sentiment"] for one in segments} == {"neutral"}
    assert found["results"]["sentiments"]["average"] == {"sentiment": "neutral", "sentiment_score": 0.0}
    assert "sentiment_info" in found["metadata"]


@pytest.mark.conformance("deepgram", "parameter multichannel", "done")
def test_each_channel_is_heard_on_its_own(gateway: GatewayServer) -> None:
    answer = listen(gateway, _seconds(2, channels=2), multichannel="true", utterances="true", diarize="true")
    assert answer["metadata"]["channels"] == 2
    assert [alternative(answer, channel)["transcript"] for channel in (0, 1)] == ["hello u1 hello u2"] * 2
    assert sorted(one["channel"] for one in answer["results"]["utterances"]) == [0, 0, 1, 1]
    assert listen(gateway, _seconds(2, channels=2))["metadata"]["channels"] == 1


@pytest.mark.conformance("deepgram", "parameter encoding", "done")
@pytest.mark.conformance("deepgram", "parameter sample_rate", "done")
@pytest.mark.conformance("deepgram", "parameter channels", "done")
def test_raw_audio(gateway: GatewayServer) -> None:
    samples = bytes(2 * 8000 * 2)
    assert listen(gateway, samples, encoding="linear16", sample_rate=8000)["metadata"]["duration"] == 2.0
    assert listen(gateway, samples, encoding="mulaw", sample_rate=8000)["metadata"]["duration"] == 4.0
    assert listen(gateway, samples, encoding="linear16", sample_rate=8000, channels=2)["metadata"]["duration"] == 1.0
    apart = listen(gateway, samples, encoding="linear16", sample_rate=8000, channels=2, multichannel="true")
    assert (apart["metadata"]["duration"], apart["metadata"]["channels"]) == (1.0, 2)


@pytest.mark.conformance("deepgram", "parameter tag", "done")
@pytest.mark.conformance("deepgram", "parameter extra", "done")
@pytest.mark.conformance("deepgram", "parameter model", "done", "any name selects the engine in use; the answer names that")
@pytest.mark.conformance("deepgram", "parameter version", "accepted without effect")
@pytest.mark.conformance("deepgram", "parameter mip_opt_out", "done")
@pytest.mark.conformance("deepgram", "parameter language_hint", "accepted without effect")
def test_labels_come_back_and_the_rest_does_not_hurt(gateway: GatewayServer) -> None:
    query = {"tag": ["a", "b"], "extra": ["order:7", "city:Rome:North"], "model": "nova-3", "version": "latest", "mip_opt_out": "true"}
    metadata = listen(gateway, **query, language_hint="en", tier="nova")["metadata"]
    assert metadata["tags"] == ["a", "b"]
    assert metadata["extra"] == {"order": "7", "city": "Rome:North"}
    assert "nova-3" not in json.dumps(metadata)


@pytest.mark.conformance("deepgram", "parameter summarize", "refused")
@pytest.mark.conformance("deepgram", "parameter topics", "refused")
@pytest.mark.conformance("deepgram", "parameter intents", "refused")
@pytest.mark.conformance("deepgram", "parameter custom_topic", "refused")
@pytest.mark.conformance("deepgram", "parameter custom_topic_mode", "refused")
@pytest.mark.conformance("deepgram", "parameter custom_intent", "refused")
@pytest.mark.conformance("deepgram", "parameter custom_intent_mode", "refused")
@pytest.mark.conformance("deepgram", "parameter detect_entities", "refused")
@pytest.mark.parametrize(
    "query",
    [
        {"summarize": "v2"},
        {"topics": "true"},
        {"intents": "true"},
        {"custom_topic": "weather"},
        {"custom_topic_mode": "strict"},
        {"custom_intent": "buy"},
        {"custom_intent_mode": "strict"},
        {"detect_entities": "true"},
        {"redact": "pii"},
    ],
)
def test_what_no_engine_does_is_refused(gateway: GatewayServer, query: dict[str, str]) -> None:
    with _client(gateway) as client:
        answer = client.post("/v1/listen", params=query, content=_wav())
    assert answer.status_code == 400
    assert set(answer.json()) == {"err_code", "err_msg", "request_id"}
    assert answer.json()["err_code"] == "NOT_SUPPORTED"
    assert next(iter(query)) in answer.json()["err_msg"]


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (b"", {}, 400, "EMPTY_AUDIO"),
        (b"Dear Sir, this is a letter and not a call.", {}, 400, "INVALID_AUDIO_FORMAT"),
        (b"Dear Sir, this is a letter and not a call.", {"multichannel": "true"}, 400, "INVALID_AUDIO_FORMAT"),
        (_wav()[:44], {}, 400, "TRUNCATED_AUDIO"),
        (b"{not json", {}, 400, "INVALID_MESSAGE"),
        (b'{"uri": "http://example.org/x.wav"}', {}, 400, "INVALID_MESSAGE"),
        (b'{"url": 7}', {}, 400, "INVALID_MESSAGE"),
        (b'{"url": "file:///etc/passwd"}', {}, 400, "REMOTE_CONTENT_ERROR"),
        (b'{"url": "http://127.0.0.1/x.wav"}', {}, 400, "REMOTE_CONTENT_ERROR"),
        (_wav(), {"callback": "http://169.254.169.254/x", "colour": "red"}, 400, "INVALID_QUERY_PARAMETER"),
        (_wav(), {"callback": "ftp://example.org/x"}, 400, "REMOTE_CONTENT_ERROR"),
        (_wav(), {"callback_method": "DELETE"}, 400, "INVALID_QUERY_PARAMETER"),
        (_wav(), {"utt_split": "soon"}, 400, "INVALID_QUERY_PARAMETER"),
        (_wav(), {"utt_split": "nan"}, 400, "INVALID_QUERY_PARAMETER"),
        (_wav(), {"punctuate": "yes"}, 400, "INVALID_QUERY_PARAMETER"),
        (_wav(), {"language": "tlh"}, 400, "UNSUPPORTED_LANGUAGE"),
        (_wav(), {"detect_language": "de"}, 400, "UNSUPPORTED_LANGUAGE"),
        (_wav(), {"search": ["x"] * 101}, 400, "INVALID_QUERY_PARAMETER"),
        (_wav(), {"interim_results": "true"}, 400, "INVALID_QUERY_PARAMETER"),
    ],
)
def test_bad_requests(gateway: GatewayServer, body: bytes, query: dict[str, Any], status: int, code: str) -> None:
    with _client(gateway) as client:
        answer = client.post("/v1/listen", params=query, content=body)
    assert (answer.status_code, answer.json()["err_code"]) == (status, code)
    assert len(answer.json()["err_msg"]) > 15
    assert answer.headers["dg-request-id"] == answer.json()["request_id"]


def test_every_parameter_of_the_table_is_claimed_by_a_test() -> None:
    claimed = {
        mark.args[1].removeprefix("parameter ")
        for test in globals().values()
        for mark in getattr(test, "pytestmark", [])
        if mark.name == "conformance" and mark.args[1].startswith("parameter ")
    }
    ours_or_older = {"voice", "tier", "alternatives", "diarize_version"}
    assert {row.name for row in FILE} - ours_or_older <= claimed


def test_ours_how_it_sounds(gateway: GatewayServer) -> None:
    voice = alternative(listen(gateway, voice="true"))["voice"]
    assert voice[0]["attributes"]["gender"]["value"] == "female"
    assert len(voice) == 3


# --- addresses -------------------------------------------------------------------------------------------------------------


class _Web:
    """A web server that has one file and takes callbacks; ``statuses`` are what it answers to the first ones."""

    def __init__(self, file: bytes = b"", statuses: tuple[int, ...] = ()) -> None:
        self.taken: list[tuple[str, Any]] = []
        self.has_taken = threading.Event()
        statuses_left = list(statuses)
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(file)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = statuses_left.pop(0) if statuses_left else 200
                self.send_response(status)
                self.end_headers()
                if status == 200:
                    web.taken.append((self.command, body))
                    web.has_taken.set()

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/call"


@contextmanager
def web(**options: Any) -> Iterator[_Web]:
    found = _Web(**options)
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        thread.join()


@pytest.fixture
def open_gateway(make_gateway: Callable[..., GatewayServer]) -> GatewayServer:
    """One that reaches this machine too."""
    return make_gateway(allowed_internal_hosts=("127.0.0.1",))


@pytest.mark.conformance("deepgram", "call POST /v1/listen with a url", "done")
def test_a_file_by_its_address(open_gateway: GatewayServer) -> None:
    body = _seconds(2)
    with web(file=body) as files:
        answer = listen(open_gateway, json.dumps({"url": files.url}))
    assert alternative(answer)["transcript"] == "hello u1 hello u2"
    assert answer["metadata"]["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.conformance("deepgram", "parameter callback", "done")
@pytest.mark.conformance("deepgram", "parameter callback_method", "done")
@pytest.mark.parametrize("method", ["POST", "put"])
def test_the_answer_is_posted_later_and_again_when_it_was_not_taken(open_gateway: GatewayServer, method: str) -> None:
    with web(statuses=(503,)) as target:
        answer = listen(open_gateway, callback=target.url, callback_method=method)
        assert list(answer) == ["request_id"]
        assert target.has_taken.wait(30)
    ((used, body),) = target.taken
    assert used == method.upper()
    assert body["metadata"]["request_id"] == answer["request_id"]
    assert alternative(body)["transcript"] == "hello u1 hello u2 hello u3"


def test_a_refusal_is_posted_too(open_gateway: GatewayServer) -> None:
    with web() as target:
        answer = listen(open_gateway, b"Dear Sir, this is a letter and not a call.", callback=target.url)
        assert target.has_taken.wait(30)
    ((_, body),) = target.taken
    assert (body["err_code"], body["request_id"]) == ("INVALID_AUDIO_FORMAT", answer["request_id"])


# --- tokens and models -----------------------------------------------------------------------------------------------------

KEY = "a-key-for-tests"


@pytest.fixture(scope="module")
def locked() -> Iterator[GatewayServer]:
    """A gateway that asks for a key."""
    from tests.unit.gateway.conftest import gateways

    with gateways() as make:
        yield make(api_keys_sha256=(hashlib.sha256(KEY.encode()).hexdigest(),))


@pytest.mark.conformance("deepgram", "call POST /v1/auth/grant", "done")
def test_a_granted_token_lets_in(locked: GatewayServer) -> None:
    with _client(locked) as client:
        assert client.post("/v1/listen", content=_wav()).json()["err_code"] == "INVALID_AUTH"
        granted = client.post("/v1/auth/grant", headers={"authorization": f"Token {KEY}"}, json={"ttl_seconds": 60}).json()
        assert granted["expires_in"] == 60
        answer = client.post("/v1/listen", content=_wav(), headers={"authorization": f"bearer {granted['access_token']}"})
        assert answer.status_code == 200
        assert client.post("/v1/auth/grant", headers={"authorization": f"Token {KEY}"}).json()["expires_in"] == 30


@pytest.mark.parametrize("ttl", [0, 3601, "30", True, 1.5])
def test_bad_lifetimes(locked: GatewayServer, ttl: Any) -> None:
    with _client(locked) as client:
        answer = client.post("/v1/auth/grant", headers={"authorization": f"Token {KEY}"}, json={"ttl_seconds": ttl})
        assert (answer.status_code, answer.json()["err_code"]) == (400, "INVALID_QUERY_PARAMETER")


def test_a_grant_needs_a_key_and_json(locked: GatewayServer) -> None:
    with _client(locked) as client:
        assert client.post("/v1/auth/grant").status_code == 401
        for body, status in ((b"[]", 400), (b"nonsense", 400), (b" " * 5000, 413)):
            assert client.post("/v1/auth/grant", content=body, headers={"authorization": f"Token {KEY}"}).status_code == status


@pytest.mark.conformance("deepgram", "call GET /v1/models", "done", "the engines and voices in use")
@pytest.mark.conformance("openai", "call GET /v1/models", "done", "the engines and voices in use")
def test_models_for_the_clients_of_both_protocols(make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(models=("whisper:3.1",), voices=("en-gb+f3",))
    with _client(gateway) as client:
        answer = client.get("/v1/models").json()
    assert (answer["stt"][0]["name"], answer["stt"][0]["version"], answer["stt"][0]["languages"]) == ("whisper", "3.1", ["en"])
    assert (answer["tts"][0]["name"], answer["tts"][0]["languages"]) == ("en-gb+f3", ["en-GB"])
    assert answer["object"] == "list"
    assert answer["data"][0] == {"id": "whisper", "object": "model", "created": 0, "owned_by": "voxrelay"}


@pytest.mark.conformance("deepgram", "call GET /v1/models/{id}", "done")
@pytest.mark.conformance("openai", "call GET /v1/models/{id}", "done")
def test_one_model_by_name_or_uuid(gateway: GatewayServer) -> None:
    with _client(gateway) as client:
        known = client.get("/v1/models").json()["stt"][0]
        for key in (known["name"], known["uuid"]):
            found = client.get(f"/v1/models/{key}").json()
            assert (found["uuid"], found["id"], found["object"]) == (known["uuid"], known["name"], "model")


def test_errors_of_models_speak_both_protocols(gateway: GatewayServer, locked: GatewayServer) -> None:
    with _client(gateway) as client:
        answer = client.get("/v1/models/gpt-9")
    assert answer.status_code == 404
    assert {"err_code", "err_msg", "request_id", "error"} == set(answer.json())
    assert answer.json()["error"]["type"] == "invalid_request_error"
    with _client(locked) as client:
        answer = client.get("/v1/models")
    assert (answer.status_code, answer.json()["err_code"], answer.json()["error"]["code"]) == (401, "INVALID_AUTH", "invalid_api_key")


def test_the_page_has_the_tables_parameters() -> None:
    page = PAGE.read_text()
    files = page.split("## Files: POST")[1].split("\n## ")[0]
    flux = page.split("## Turns: WebSocket")[1].split("\n## ")[0]
    for section, table in ((files, [row for row in FILE if row not in COMMON]), (flux, FLUX)):
        assert [line for line in section.splitlines() if line.startswith("| `") and line.count(" | ") == 3] == [row.line for row in table]
