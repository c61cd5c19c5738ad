"""Models activated, compared, failing and rolled back under live load over a real Kafka, and the service killed in between: no session is lost,
no word is changed or doubled, and what is published again by the replay is the same to the byte, model and all."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_services.stack import Stack

from tests.published import Finals
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.bus.kafka import KafkaBus
from voxrelay.cli.live import LiveCall
from voxrelay.events import ModelActivated
from voxrelay.models.activations import ActivationLog

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

SESSIONS = 20
CHUNK_BYTES = SAMPLE_RATE_HZ // 10 * 2
WITHIN_S = 60.0
MODULES = {"denoise": ("tests.e2e.scripted_services", "denoise"), "transcribe": ("tests.e2e.exchangeable",)}
REPOSITORY = Path(__file__).resolve().parents[2]
INSTANCE = "transcribe-0"


class Operator:
    """A person at the command line, and what the log says of it."""

    def __init__(self, environment: Mapping[str, str], log: ActivationLog) -> None:
        self._environment, self._log = environment, log

    def models(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "voxrelay.cli", "models", *arguments]
        done = subprocess.run(command, env=dict(self._environment), cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def until(self, condition: Callable[[Any], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not any(condition(state) for state in self._log.states() if state.instance == INSTANCE and state.task == "transcribe"):
            assert time.monotonic() < deadline, self._log.states()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def bus(kafka_bootstrap: str) -> KafkaBus:
    return KafkaBus(kafka_bootstrap)


@pytest.fixture(scope="module")
def stack(services_environment: Mapping[str, str], bus: KafkaBus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Operator]]:
    folder = tmp_path_factory.mktemp("models")
    own = {"VOXRELAY_MODELS": str(folder), "VOXRELAY_TRANSCRIBE_ENGINE": "digest", "VOXRELAY_CHECKPOINT_EVERY": "5"}
    stack = Stack(tmp_path_factory.mktemp("stack"), {**services_environment, **own}, ("gateway", *MODULES), MODULES)
    log = ActivationLog(bus)
    operator = Operator({**stack._environment}, log)
    stack.prepare()
    log.decide(ModelActivated("transcribe"))
    for name, options in (("second", ()), ("third", ()), ("broken", ("--option", "is_broken=true"))):
        operator.models("add", name, "--task", "transcribe", "--engine", "digest", "--licence", "MIT", *options)
    try:
        stack.start()
        stack.wait_ready()
        yield stack, operator
    finally:
        stack.stop()
        log.decide(ModelActivated("transcribe"))  # for the tests that come after


async def _speak(url: str, number: int, done: asyncio.Event) -> tuple[str, bytes, list[dict[str, Any]]]:
    """Session id, what was said, and everything heard. Speaks in real time until it is done, and then to the end of the second."""
    source, said = np.random.default_rng(number), bytearray()
    address = url.replace("http", "ws", 1)
    call = LiveCall(lambda: address, SAMPLE_RATE_HZ, parameters={"diarize": "false", "attributes": "false"}, patience_s=90.0)

    async def feed() -> None:
        started = asyncio.get_running_loop().time()
        while not done.is_set() or len(said) % (SAMPLE_RATE_HZ * 2):
            await asyncio.sleep(max(0.0, started + len(said) / (SAMPLE_RATE_HZ * 2) - asyncio.get_running_loop().time()))
            chunk = source.integers(-8000, 8000, CHUNK_BYTES // 2, dtype="<i2").tobytes()
            call.feed(chunk)
            said.extend(chunk)
        call.finish()

    feeding = asyncio.create_task(feed())
    try:
        heard = [message async for message in call.messages()]
    finally:
        feeding.cancel()
    session_id = next(message["session_id"] for message in heard if message["type"] == "session")
    return session_id, bytes(said), heard


def _operate(stack: Stack, operator: Operator, finals: Finals) -> None:
    finals.until(lambda now: len(now.copies) == SESSIONS)
    operator.models("activate", "second")
    finals.until(lambda now: now.newest_models == {"second"})
    operator.models("activate", "third", "--share", "0.5")
    finals.until(lambda now: now.newest_models == {"second", "third"})
    operator.models("activate", "broken")
    operator.until(lambda state: "'broken' could not be loaded (RuntimeError)" in state.reason and state.model == "second")
    stack.kill("transcribe")
    stack.restart("transcribe")
    stack.wait_ready("transcribe")
    operator.models("rollback")
    operator.until(lambda state: state.model == "second" and not state.reason)
    operator.models("rollback")
    finals.until(lambda now: now.newest_models == {""})


def test_models_change_under_load_and_no_session_notices(stack: tuple[Stack, Operator], bus: KafkaBus) -> None:
    platform, operator = stack
    finals = Finals(bus)

    async def run() -> list[tuple[str, bytes, list[dict[str, Any]]]]:
        done = asyncio.Event()
        speaking = [asyncio.create_task(_speak(platform.url, number, done)) for number in range(SESSIONS)]
        try:
            await asyncio.to_thread(_operate, platform, operator, finals)
        finally:
            done.set()
        return list(await asyncio.gather(*speaking))

    ran = asyncio.run(run())
    for _, said, heard in ran:
        assert [message for message in heard if message["type"] == "error"] == []
        seconds = [said[at : at + SAMPLE_RATE_HZ * 2] for at in range(0, len(said), SAMPLE_RATE_HZ * 2)]
        assert [message["transcript"] for message in heard if message["type"] == "final"] == [hashlib.sha256(one).hexdigest()[:16] for one in seconds]
        assert heard[-1]["type"] == "closed"
    finals.until(lambda now: all(len(now.copies[session_id]) == len(said) // (SAMPLE_RATE_HZ * 2) for session_id, said, _ in ran))
    for session_id, _, _ in ran:
        assert all(len(set(values)) == 1 for values in finals.copies[session_id].values())  # a replay publishes what the first run did
        assert finals.models(session_id)[0] == ""
        assert "second" in finals.models(session_id)
    assert len(finals.copies) == SESSIONS
