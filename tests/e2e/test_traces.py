"""One trace a session, over every hop the topology names and no other; nobody's words in it; nothing at all where it is off."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.e2e.collector import Collector, Seen
from tests.e2e.conftest import REPOSITORY
from voxrelay import topology

pytestmark = pytest.mark.sockets
TEXT = "The quick brown fox jumps over the lazy dog."
ATTRIBUTES = {
    "voxrelay.part",
    "voxrelay.session",
    "voxrelay.lane",
    "voxrelay.edge",
    "voxrelay.result",
    "voxrelay.producer",
    "messaging.batch.message_count",
}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`voxrelay serve` that traces the sessions whose callers want it, and no other."""
    data = tmp_path_factory.mktemp("traced")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOXRELAY_")}
    environment |= {"VOXRELAY_TRACES_ENDPOINT": collector.endpoint, "VOXRELAY_TRACES_RATIO": "0"}
    command = [sys.executable, "-m", "services", "--port", "0", "--grpc-port", "0", "--data", str(data), "--announce", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.fixture(scope="module")
def spoken(traced: str) -> tuple[bytes, int]:
    """The platform's own voice, with a pause behind it."""
    answer = httpx.post(f"{traced}/v1/audio/speech", json={"model": "espeak", "input": TEXT, "voice": "en-us", "response_format": "wav"}, timeout=60)
    answer.raise_for_status()
    with wave.open(io.BytesIO(answer.content)) as file:
        return file.readframes(file.getnframes()) + bytes(2 * file.getframerate()), file.getframerate()


async def call(url: str, spoken: tuple[bytes, int], traceparent: str) -> list[dict[str, object]]:
    """A whole session, as fast as the platform takes it, and one text spoken within it."""
    pcm, rate_hz = spoken
    address = f"{url.replace('http', 'ws', 1)}/ws/v1/transcribe?sample_rate={rate_hz}"
    messages = []
    async with connect(address, additional_headers={"traceparent": traceparent}, compression=None, open_timeout=30) as connection:
        for at in range(0, len(pcm), rate_hz):
            await connection.send(pcm[at : at + rate_hz])
        await connection.send(json.dumps({"type": "close_stream"}))
        async for message in connection:
            messages.append(json.loads(message))
            if messages[-1]["type"] in ("closed", "error"):
                break
    assert messages[-1]["type"] == "closed"
    return messages


def fresh(flags: str) -> tuple[str, str]:
    """A trace id and a caller's traceparent in it."""
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


def finished(collector: Collector, trace_id: str) -> list[Seen]:
    """The trace, once the session has left and the projector has it all."""
    collector.wait_until(lambda: any(span.name == "session" for span in collector.of(trace_id)))
    expected = {edge for edge in topology.edges() if "synth" not in edge and edge != ("gateway", "projector")}
    collector.wait_until(lambda: collector.edges_of(trace_id) >= expected)
    return collector.of(trace_id)


@pytest.fixture(scope="module")
def trace(collector: Collector, traced: str, spoken: tuple[bytes, int]) -> tuple[str, list[dict[str, object]], list[Seen]]:
    """The caller's span, what the client heard, and the spans of its trace."""
    trace_id, traceparent = fresh("01")
    heard = asyncio.run(call(traced, spoken, traceparent))
    return traceparent, heard, finished(collector, trace_id)


def test_a_session_is_one_trace_over_every_hop_and_no_other(collector: Collector, trace: tuple[str, list[dict[str, object]], list[Seen]]) -> None:
    traceparent, _, spans = trace
    trace_id, caller = traceparent.split("-")[1:3]
    assert collector.edges_of(trace_id) == {edge for edge in topology.edges() if "synth" not in edge and edge != ("gateway", "projector")}
    (session,) = (span for span in spans if span.name == "session")
    assert session.parent_id == caller
    assert {span.span_id for span in spans} | {caller} >= {span.parent_id for span in spans}  # no gap: every span's parent is there
    assert session.start_s <= min(span.start_s for span in spans) + 0.001
    assert all(span.start_s <= span.end_s for span in spans)


def test_a_batch_is_linked_to_the_sessions_in_it(collector: Collector, trace: tuple[str, list[dict[str, object]], list[Seen]]) -> None:
    trace_id = trace[0].split("-")[1]
    ids = {span.span_id for span in trace[2]}

    def linked() -> dict[str, set[str]]:
        batches = [span for span in collector.spans if span.name.endswith(" batch")]
        return {span.part: {to for of, to in span.links if of == trace_id} for span in batches if any(of == trace_id for of, _ in span.links)}

    collector.wait_until(lambda: linked().keys() >= {node.name for node in topology.STAGES} - {"synth"} | {topology.PROJECTOR.name})
    assert all(targets <= ids for targets in linked().values())


def test_no_words_and_no_more_than_the_known_attributes(trace: tuple[str, list[dict[str, object]], list[Seen]]) -> None:
    _, heard, spans = trace
    words = {word.lower() for message in heard if message["type"] == "final" for word in str(message["transcript"]).split() if len(word) > 3}
    assert words
    for span in spans:
        assert span.attributes.keys() <= ATTRIBUTES
        assert not words & {part.lower() for value in (span.name, *span.attributes.values()) for part in value.split()}


def test_speech_goes_to_synth_and_back(collector: Collector, traced: str) -> None:
    """A text spoken within a traced session is part of its trace."""
    trace_id, traceparent = fresh("01")

    async def speak() -> None:
        address = f"{traced.replace('http', 'ws', 1)}/ws/v1/speak"
        async with connect(address, additional_headers={"traceparent": traceparent}, compression=None, open_timeout=30) as connection:
            await connection.send(json.dumps({"type": "text", "text": TEXT}))
            await connection.send(json.dumps({"type": "close"}))
            async for message in connection:
                if isinstance(message, str) and json.loads(message)["type"] in ("closed", "error"):
                    break

    asyncio.run(speak())
    expected = {edge for edge in topology.edges() if "synth" in edge or edge == ("gateway", "projector")}
    collector.wait_until(lambda: collector.edges_of(trace_id) == expected)


def test_who_does_not_want_it_is_not_traced(collector: Collector, traced: str, spoken: tuple[bytes, int]) -> None:
    refused, traceparent = fresh("00")
    asyncio.run(call(traced, spoken, traceparent))
    asyncio.run(call(traced, spoken, "nonsense"))  # nobody's decision: by ratio, which is 0 here
    wanted, traceparent = fresh("01")
    asyncio.run(call(traced, spoken, traceparent))
    finished(collector, wanted)  # it came after the others: so theirs would be here
    assert collector.of(refused) == []
    assert not [span for span in collector.spans if span.name == "session" and not span.parent_id]


def test_off_means_that_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    script = (
        "import sys; from voxrelay import tracing; from voxrelay.settings import PlatformSettings; import services.embedded;"
        "platform = PlatformSettings(); tracing.configure(platform.traces_endpoint, platform.traces_ratio, 'embedded');"
        "assert tracing.tracer() is None;"
        "assert not {'opentelemetry.sdk', 'opentelemetry.exporter', 'voxrelay.otlp'} & sys.modules.keys()"  # FastAPI loads the bare API itself
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOXRELAY_")}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=REPOSITORY, env=environment)
