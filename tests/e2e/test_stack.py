"""All seven services over a real Kafka, PostgreSQL and S3: what is on the log, in the rows and in the bucket; and what bad input does."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from local_services.stack import Stack

from services.projector.archive import object_name
from tests.e2e.collector import Collector
from tests.e2e.streaming import Heard, pcm_of, stream
from voxrelay.bus.api import Record, TopicPartition
from voxrelay.bus.kafka import KafkaBus
from voxrelay.storage import database
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.views import StoredSession, Views
from voxrelay.topology import (
    AUDIO_DENOISED,
    AUDIO_RECEIVED,
    SEGMENT_CLASSIFIED,
    SEGMENT_DIARIZED,
    SEGMENT_TRANSCRIBED,
    SYNTHESIS_PRODUCED,
    SYNTHESIS_REQUESTED,
    UTTERANCE_DETECTED,
    dead_letter_topic,
    edges,
)

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = 60.0
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def stack(services_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    traces = {"VOXRELAY_TRACES_ENDPOINT": collector.endpoint, "VOXRELAY_TRACES_RATIO": "1"}
    patient = {"VOXRELAY_GATEWAY_JOIN_WAIT_S": "30", "VOXRELAY_GATEWAY_STAGE_TIMEOUT_S": "90"}  # on a full machine a stage may be silent for long
    stack = Stack(tmp_path_factory.mktemp("stack"), {**services_environment, **traces, **patient})
    stack.prepare()
    stack.start()
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def bus(kafka_bootstrap: str) -> KafkaBus:
    return KafkaBus(kafka_bootstrap)


@pytest.fixture(scope="module")
def call(two_speakers: tuple[bytes, int]) -> tuple[bytes, int]:
    """Ten seconds of two people on a telephone."""
    pcm, rate_hz = two_speakers
    return pcm[int(6.5 * rate_hz) * 2 : int(16.5 * rate_hz) * 2], rate_hz


@pytest.fixture(scope="module")
def heard(stack: Stack, call: tuple[bytes, int]) -> Heard:
    """The call, streamed in real time."""
    return asyncio.run(stream(stack.url, *call))


def _records(bus: KafkaBus, topic: str, session_id: str) -> list[Record]:
    """Everything of this session on the topic, from its beginning."""
    sources = {TopicPartition(topic, number): "earliest" for number in range(bus.partitions(topic))}
    ends = {source: end for source, (_, end) in bus.offsets(sources).items()}
    reader = bus.read(sources)  # type: ignore[arg-type]
    found: list[Record] = []
    places = dict.fromkeys(ends, 0)
    deadline = time.monotonic() + PATIENCE_S
    while any(places[source] < end for source, end in ends.items() if end) and time.monotonic() < deadline:
        records = reader.poll(1000, 0.2)
        for record in records:
            places[record.source] = record.offset + 1
        found += [record for record in records if record.key == session_id.encode()]
        if not records and all(places[source] >= end or end == 0 for source, end in ends.items()):
            break
        if not records:  # a log whose head was deleted
            starts = bus.offsets(sources)
            places |= {source: max(places[source], start) for source, (start, _) in starts.items()}
    reader.close()
    return found


def _stored(environment: Mapping[str, str], session_id: str) -> StoredSession:
    """Once it is complete."""
    views = Views(database.connect(environment["VOXRELAY_DATABASE_URL"], is_read_only=True))
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        session = views.session(session_id)
        if session is not None and session.summary.is_complete and all(stored.recording for stored in session.utterances):
            return session
        time.sleep(0.2)
    raise AssertionError("the session was never complete")


@pytest.mark.parametrize("topic", [UTTERANCE_DETECTED, SEGMENT_TRANSCRIBED, SEGMENT_DIARIZED, SEGMENT_CLASSIFIED], ids=str)
def test_results_are_readable_json_keyed_by_session(topic: Any, heard: Heard, bus: KafkaBus) -> None:
    records = _records(bus, topic.name("live"), heard.session_id)
    assert records
    assert len({record.partition for record in records}) == 1
    for record in records:
        parsed = json.loads(record.value or b"")
        headers = dict(record.headers)
        assert parsed["sessionId"] == heard.session_id
        assert headers["ce_type"].startswith(b"voxrelay.v1.")
        assert headers["ce_specversion"] == b"1.0"
        assert headers["content-type"] == b"application/json"
        assert headers["traceparent"].startswith(b"00-")
    assert len({dict(record.headers)["traceparent"].split(b"-")[1] for record in records}) == 1  # one trace through all services


def test_all_topics_keep_a_session_in_one_partition_number(heard: Heard, bus: KafkaBus) -> None:
    topics = (AUDIO_RECEIVED, AUDIO_DENOISED, SEGMENT_TRANSCRIBED, SEGMENT_CLASSIFIED)
    assert len({record.partition for topic in topics for record in _records(bus, topic.name("live"), heard.session_id)}) == 1


def test_rows_and_flac_are_kept(heard: Heard, services_environment: Mapping[str, str]) -> None:
    session = _stored(services_environment, heard.session_id)
    assert [stored.joined.text for stored in session.utterances if stored.joined.text] == [message["transcript"] for message in heard.of("final")]
    objects = ObjectStore(services_environment["VOXRELAY_OBJECT_STORE_URL"])
    for stored in session.utterances:
        assert stored.recording == object_name(heard.session_id, stored.joined.utterance_id)
        content = objects.get(stored.recording)
        assert content is not None
        with av.open(io.BytesIO(content)) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / 16_000 == pytest.approx(stored.joined.end_s - stored.joined.start_s, abs=0.001)


def test_embedded_says_the_same(heard: Heard, call: tuple[bytes, int], embedded_url: str) -> None:
    again = asyncio.run(stream(embedded_url, *call, speed=4.0))
    assert again.finals == heard.finals


def test_a_file_by_rest_search_and_export(stack: Stack, eval_data: Path, services_environment: Mapping[str, str]) -> None:
    with httpx.Client(base_url=stack.url, timeout=120) as client:
        name = "1688-142285-0000.flac"
        answer = client.post("/api/process", content=(eval_data / "asr" / "librispeech-test-other" / name).read_bytes())
        assert answer.status_code == 200, answer.text
        result = answer.json()
        _stored(services_environment, result["session_id"])
        stored = client.get(f"/api/sessions/{result['session_id']}").json()
        assert [u["transcript"] for u in stored["utterances"] if u["transcript"]] == [u["transcript"] for u in result["utterances"]]
        word = max((w["word"] for u in result["utterances"] for w in u["words"]), key=len)
        hits = client.get("/api/search", params={"q": word, "session_id": result["session_id"]}).json()
        assert hits
        export = client.get(f"/api/sessions/{result['session_id']}/export", params={"format": "srt"})
        assert "-->" in export.text
        assert client.get("/api/sessions/none").status_code == 404


def test_speech_over_the_topics(stack: Stack, bus: KafkaBus) -> None:
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        answer = client.post("/v1/speak", json={"text": "Speaker 1: Hello there.\nSpeaker 2: Good bye.", "format": "flac", "sample_rate": 16000})
        assert answer.status_code == 200
        refused = client.post("/v1/speak", json={"text": "Hello.", "voice": "nobody"})
        assert refused.json()["error"]["code"] == "UNKNOWN_VOICE"
    with av.open(io.BytesIO(answer.content)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 16_000
    session_id = answer.headers["x-session-id"]
    assert json.loads(_records(bus, SYNTHESIS_REQUESTED.name("live"), session_id)[0].value or b"")["text"].startswith("Speaker 1")
    assert len(_records(bus, SYNTHESIS_PRODUCED.name("live"), session_id)) > 5


def test_its_trace_goes_through_all_services_and_back(collector: Collector, heard: Heard) -> None:
    """From seven processes into one trace, over the edges the topology names and no other."""

    def trace_id() -> str:
        return next((span.trace_id for span in collector.spans if span.attributes.get("voxrelay.session") == heard.session_id), "")

    expected = {edge for edge in edges() if "synth" not in edge and edge != ("gateway", "projector")}
    collector.wait_until(lambda: collector.edges_of(trace_id()) >= expected)
    assert collector.edges_of(trace_id()) == expected
    services = {span.service for span in collector.of(trace_id())}
    assert services == {f"voxrelay-{name}" for name in ("gateway", "denoise", "diarize", "transcribe", "classify", "projector")}


def test_poison_on_every_topic_is_buried_and_everybody_lives(stack: Stack, bus: KafkaBus, call: tuple[bytes, int], heard: Heard) -> None:
    topics = (AUDIO_RECEIVED, AUDIO_DENOISED, UTTERANCE_DETECTED, SEGMENT_TRANSCRIBED, SEGMENT_DIARIZED, SEGMENT_CLASSIFIED, SYNTHESIS_REQUESTED)
    key = uuid.uuid4().hex.encode()
    producer = bus.producer()
    for topic in topics:
        producer.send(topic.name("live"), key, b"\xffthis is no event", [("ce_type", b"voxrelay.v1.AudioReceived")])
    producer.flush()
    again = asyncio.run(stream(stack.url, *call, speed=3.0))
    assert again.finals == heard.finals
    for topic in topics:
        deadline = time.monotonic() + PATIENCE_S
        while not (buried := _records(bus, dead_letter_topic(topic.name("live")), key.decode())) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert buried, topic
        assert buried[0].value == b"\xffthis is no event"
    stack.wait_ready()


def test_silence_gives_no_result_and_a_proper_end(stack: Stack) -> None:
    quiet = asyncio.run(stream(stack.url, bytes(16_000 * 2 * 4), 16_000, speed=4.0))
    assert not quiet.of("final")
    assert not quiet.of("interim")
    assert quiet.of("closed")[0]["audio_seconds"] == 4.0


def test_logs_hold_no_speech(stack: Stack, heard: Heard, eval_data: Path) -> None:
    cards = asyncio.run(stream(stack.url, *pcm_of(eval_data / "asr" / "misc" / "cards-005.wav")))
    said = {word["word"] for message in heard.of("final") + cards.of("final") for word in message["words"] if len(word["word"]) > 5}
    assert {"spades", "hearts"} <= said
    for service in stack.services:
        for line in stack.log_path(service).read_text().splitlines():
            json.loads(line)
            assert not said & set(line.lower().replace('"', " ").split()), service


@pytest.mark.parametrize("service", ["denoise", "gateway"])
def test_without_a_broker_a_service_waits_says_so_and_ends_cleanly(service: str, services_environment: Mapping[str, str], tmp_path: Path) -> None:
    stack = Stack(tmp_path, {**services_environment, "VOXRELAY_KAFKA_BOOTSTRAP": "127.0.0.1:1"}, (service,))
    stack.start()
    try:
        ready = ""
        deadline = time.monotonic() + PATIENCE_S
        while not ready and time.monotonic() < deadline:
            try:
                answer = httpx.get(f"http://127.0.0.1:{stack._running[service].probe_port}/ready", timeout=20)
                assert answer.status_code == 503
                ready = answer.text
            except httpx.TransportError:
                time.sleep(0.2)
        assert "Kafka" in ready
    finally:
        stack.stop()
    assert stack.exit_status(service) == 0


def test_an_object_store_that_dies_loses_no_audio(
    stack: Stack, services_environment: Mapping[str, str], call: tuple[bytes, int], tmp_path: Path, heard: Heard
) -> None:
    """The results come while it is away; what was said is stored when it is back. The other stack rests: both are the same members of the groups."""

    def services(*arguments: str) -> str:
        command = [sys.executable, str(REPOSITORY / "scripts" / "services"), *arguments, "--root", str(tmp_path / "own")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    services("start", "--only", "s3")
    own = json.loads(services("env", "--json", "--only", "s3"))
    environment = {**services_environment, **{name: value for name, value in own.items() if name.startswith("AWS_") or "OBJECT" in name}}
    stack.stop()
    projector = Stack(tmp_path / "stack", {**environment, "VOXRELAY_GATEWAY_JOIN_WAIT_S": "30"})
    projector.start()
    try:
        projector.wait_ready()
        services("kill", "s3")
        said = asyncio.run(stream(projector.url, *call, speed=2.0))
        assert said.finals == heard.finals
        assert said.of("closed")
        services("start", "--only", "s3")
        for name in (name for name in own if name.startswith("AWS_")):
            os.environ[name], own[name] = own[name], os.environ.get(name, "")
        try:
            _stored(environment, said.session_id)
            assert ObjectStore(environment["VOXRELAY_OBJECT_STORE_URL"]).list(f"sessions/{said.session_id}")
        finally:
            for name in (name for name in own if name.startswith("AWS_")):
                os.environ[name] = own[name]
    finally:
        projector.stop()
        services("stop", "--wipe")
        stack.start()
        stack.wait_ready()


def test_the_doctor_finds_nothing_wrong_with_the_running_stack(stack: Stack, services_environment: Mapping[str, str]) -> None:
    environment = {**os.environ, **services_environment, "VOXRELAY_GATEWAY_PORT": str(stack.port), "VOXRELAY_GATEWAY_GRPC_PORT": str(stack.grpc_port)}
    command = [sys.executable, "-m", "voxrelay.cli", "doctor", "--json", "--timeout", "60"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, timeout=300, check=False)
    found = {line["code"]: line["state"] for line in json.loads(done.stdout)}
    machine = {"DISK_SHORT", "DISK_FULL", "MEMORY_SHORT"}  # of whoever runs the tests
    assert {code for code, state in found.items() if state != "ok"} <= machine, done.stdout
    healthy = {"BROKER_ANSWERS", "TOPICS_AGREE", "GROUPS_AT_WORK", "DATABASE_CURRENT", "OBJECTS_WORK", "CLOCK_AGREES", "MODELS_WHOLE", "PORT_OURS"}
    assert healthy <= found.keys()
    assert services_environment["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr


def test_a_killed_gateway_ends_its_sessions_and_finished_results_are_kept(
    stack: Stack, call: tuple[bytes, int], services_environment: Mapping[str, str]
) -> None:
    """Nobody sends the end of such a session: the idle limit does. What was finished before is stored at once."""
    pcm, rate_hz = call

    async def cut() -> str:
        streaming = asyncio.create_task(stream(stack.url, pcm * 12, rate_hz))
        session_id = ""
        views = Views(database.connect(services_environment["VOXRELAY_DATABASE_URL"], is_read_only=True))
        before = {summary.session_id for summary in views.sessions()}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            await asyncio.sleep(0.3)
            fresh = [s for s in views.sessions() if s.session_id not in before]
            if fresh and any(stored.joined.text for stored in views.utterances(fresh[0].session_id)):
                session_id = fresh[0].session_id
                break
        os.kill(stack.pid("gateway"), signal.SIGKILL)
        with pytest.raises(Exception):  # noqa: B017  # whatever the client's library says
            await streaming
        return session_id

    session_id = asyncio.run(cut())
    stack._running["gateway"].process.wait()
    stack.restart("gateway")
    stack.wait_ready()
    answer = httpx.get(f"{stack.url}/api/sessions/{session_id}", timeout=10).json()
    assert answer["utterances"][0]["transcript"]
    assert not answer["session"]["is_complete"]
