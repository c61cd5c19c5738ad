"""Fifty live sessions of real speech, connections cut at random moments, a gateway killed: every client ends with what it would have had."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_services.stack import Stack

from tests.e2e.streaming import pcm_of
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.cli.live import LiveCall

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

SESSIONS = 50
SECONDS = 12
CHUNK_S = 0.1
GATEWAY_DIES_AFTER_S = 5.0
MODULES = {name: ("tests.e2e.scripted_services", name) for name in ("denoise", "transcribe")}


@pytest.fixture(scope="module")
def stacks(services_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Stack]]:
    """Two gateways over the same broker, and stages whose words are digests of the audio they heard."""
    environment = {**services_environment, "VOXRELAY_GATEWAY_RESUME_S": "60"}
    first = Stack(tmp_path_factory.mktemp("first"), environment, ("gateway", *MODULES), MODULES)
    second = Stack(tmp_path_factory.mktemp("second"), environment, ("gateway",), replica=1)
    first.prepare()
    try:
        first.start()
        second.start()
        first.wait_ready()
        second.wait_ready()
        yield first, second
    finally:
        second.stop()
        first.stop()


@pytest.fixture(scope="module")
def calls(eval_data: Path) -> list[bytes]:
    """Real speech, each session another stretch of it, at 16 kHz."""
    telephone, rate_hz = pcm_of(eval_data / "diarization" / "sample" / "sample.wav")
    speech = np.repeat(np.frombuffer(telephone, dtype="<i2"), max(1, SAMPLE_RATE_HZ // rate_hz))
    return [np.roll(speech, -number * 7001)[: SECONDS * SAMPLE_RATE_HZ].astype("<i2").tobytes() for number in range(SESSIONS)]


def expected(pcm: bytes) -> list[str]:
    second = SAMPLE_RATE_HZ * 2
    return [hashlib.sha256(pcm[at : at + second]).hexdigest()[:16] for at in range(0, len(pcm), second)]


async def _speak(call: LiveCall, pcm: bytes, chance: random.Random) -> list[dict[str, Any]]:
    """Everything the client heard. Its connection is cut now and then, in the middle of whatever it does."""
    numbered: list[dict[str, Any]] = []

    async def feed() -> None:
        size = int(SAMPLE_RATE_HZ * CHUNK_S) * 2
        started = asyncio.get_running_loop().time()
        for number, at in enumerate(range(0, len(pcm), size)):
            await asyncio.sleep(max(0.0, started + number * CHUNK_S - asyncio.get_running_loop().time()))
            await call.feed(pcm[at : at + size])
        call.finish()

    async def cut() -> None:
        for _ in range(2):
            await asyncio.sleep(chance.uniform(1.0, SECONDS / 2))
            if call.connection is not None:
                call.connection.transport.abort()

    tasks = [asyncio.create_task(feed()), asyncio.create_task(cut())]
    try:
        async for message in call.messages():
            assert message["type"] != "error", message
            if "sequence" in message:
                numbered.append(message)
    finally:
        for task in tasks:
            task.cancel()
    return numbered


@pytest.mark.conformance("native", "resuming a session after its gateway was killed", "done", "50 live sessions over Kafka")
def test_cut_connections_and_a_killed_gateway_lose_and_double_nothing(stacks: tuple[Stack, Stack], calls: list[bytes]) -> None:
    first, _ = stacks
    addresses = [stack.url.replace("http", "ws", 1) for stack in stacks]

    async def run() -> list[list[dict[str, Any]]]:
        speaking = []
        lives = []
        for number, pcm in enumerate(calls):
            chance = random.Random(number)
            parameters = {"diarize": "false", "attributes": "false"}
            call = LiveCall(lambda chance=chance: chance.choice(addresses), SAMPLE_RATE_HZ, parameters=parameters, patience_s=90.0)
            lives.append(call)
            speaking.append(asyncio.create_task(_speak(call, pcm, chance)))
        await asyncio.sleep(GATEWAY_DIES_AFTER_S)
        await asyncio.to_thread(first.kill, "gateway")
        await asyncio.sleep(3.0)
        first.restart("gateway")
        heard = await asyncio.gather(*speaking)
        assert sum(call.connections for call in lives) > 2 * SESSIONS  # the cuts did happen
        return heard

    for numbered, pcm in zip(asyncio.run(run()), calls, strict=True):
        assert [message["sequence"] for message in numbered] == list(range(1, len(numbered) + 1))
        assert [message["transcript"] for message in numbered if message["type"] == "final"] == expected(pcm)
        assert numbered[-1]["type"] == "closed"
        assert numbered[-1]["audio_seconds"] == SECONDS
