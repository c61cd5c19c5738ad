"""kill -9 of any one stage at a random moment while people speak: nothing is missing and nothing is doubled.

All seven services run as separate processes over a real Kafka, PostgreSQL and S3. Each disturbed run is compared, session by
session, with an undisturbed one of the same audio: what the client received, every row, every object.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from local_services.stack import Stack
from sqlalchemy import select

from tests.e2e.streaming import Heard, stream_all
from voxrelay.storage import database
from voxrelay.storage.objects import ObjectStore

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]

KILLED = ("denoise", "diarize", "transcribe", "classify", "projector")
SEEDS = (1,)  # more faults, side by side, are in test_chaos.py
WITHIN_S = 120.0
COMPARED = ("utterances", "transcripts", "words", "speaker_segments", "attributes", "stage_finishes")
VARYING = {"session_id", "audio_url", "updated_at", "created_at", "received_at", "opened_at", "completed_at"}


@pytest.fixture(scope="module")
def stack(services_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    patient = {"VOXRELAY_GATEWAY_JOIN_WAIT_S": "60", "VOXRELAY_GATEWAY_STAGE_TIMEOUT_S": "120", "VOXRELAY_GATEWAY_MAX_LAG_S": "600"}
    stack = Stack(tmp_path_factory.mktemp("stack"), {**services_environment, **patient})
    stack.prepare()
    stack.start()
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


class Kept:
    """What is stored of a session: rows without ids and clocks, objects by name."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._engine = database.connect(environment["VOXRELAY_DATABASE_URL"])
        self._objects = ObjectStore(environment["VOXRELAY_OBJECT_STORE_URL"])

    async def of(self, session_id: str) -> dict[str, Any]:
        """Once the projector has everything."""
        for _ in range(int(WITHIN_S / 0.2)):
            if self._is_complete(session_id):
                return {table: self._rows(table, session_id) for table in COMPARED} | {"objects": self._contents(session_id)}
            await asyncio.sleep(0.2)
        raise AssertionError(f"session {session_id} was never complete: {[self._rows(table, session_id) for table in COMPARED]}")

    def _is_complete(self, session_id: str) -> bool:
        sessions = database.metadata.tables["sessions"]
        with self._engine.connect() as connection:
            return bool(connection.execute(select(sessions.c.is_complete).where(sessions.c.session_id == session_id)).scalar())

    def _rows(self, name: str, session_id: str) -> list[dict[str, Any]]:
        table = database.metadata.tables[name]
        with self._engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.session_id == session_id)).mappings()
            kept = [{column: value for column, value in row.items() if column not in VARYING} for row in rows]
        return sorted(kept, key=repr)

    def _contents(self, session_id: str) -> dict[str, bytes]:
        prefix = f"sessions/{session_id}/"
        return {name.removeprefix(prefix): self._objects.get(name) for name in self._objects.list(prefix)}


@pytest.fixture(scope="module")
def kept(services_environment: Mapping[str, str]) -> Kept:
    return Kept(services_environment)


async def _archived(kept: Kept, heard: Heard, objects: set[str] | None) -> dict[str, Any]:
    """Rows may be complete a moment before the last object is written."""
    for _ in range(int(WITHIN_S / 0.2)):
        stored = await kept.of(heard.session_id)
        if objects is None or set(stored["objects"]) >= objects:
            return stored
        await asyncio.sleep(0.2)
    return stored


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, kept: Kept, live_audio: list[tuple[bytes, int]]) -> list[tuple[Heard, dict[str, Any]]]:
    async def run() -> list[tuple[Heard, dict[str, Any]]]:
        heard = await stream_all(stack.url, live_audio)
        await asyncio.sleep(3.0)  # for the last objects
        return [(one, await kept.of(one.session_id)) for one in heard]

    return asyncio.run(run())


def test_an_undisturbed_run_says_something(undisturbed: list[tuple[Heard, dict[str, Any]]]) -> None:
    for heard, stored in undisturbed:
        assert len(heard.of("closed")) == 1
        assert len(heard.text.split()) >= 8
        assert stored["objects"]
        assert stored["words"]
        assert {message["speaker"] for message in heard.of("final")} <= {"S1", "S2", "S3"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("service", KILLED)
def test_kill_and_restart_change_nothing(
    service: str, seed: int, stack: Stack, kept: Kept, live_audio: list[tuple[bytes, int]], undisturbed: list[tuple[Heard, dict[str, Any]]]
) -> None:
    source = random.Random(f"{service}{seed}")

    def disturb() -> None:
        """In a thread of its own: what was killed comes back even when the run has failed meanwhile."""
        time.sleep(source.uniform(1.0, 9.0))
        stack.kill(service)
        time.sleep(source.uniform(0.0, 2.0))
        stack.restart(service)

    async def run() -> list[tuple[Heard, dict[str, Any]]]:
        heard, _ = await asyncio.gather(stream_all(stack.url, live_audio), asyncio.to_thread(disturb))
        expected = [set(stored["objects"]) for _, stored in undisturbed]
        return [(one, await _archived(kept, one, names)) for one, names in zip(heard, expected, strict=True)]

    disturbed = asyncio.run(run())
    stack.wait_ready()
    for (heard, stored), (expected_heard, expected_stored) in zip(disturbed, undisturbed, strict=True):
        assert not heard.of("error")
        assert len(heard.of("closed")) == 1
        assert heard.finals == expected_heard.finals
        for table in COMPARED:
            assert stored[table] == expected_stored[table], table
        assert stored["objects"] == expected_stored["objects"]


def test_sigterm_drains_and_ends_with_status_zero(stack: Stack, tmp_path: Path) -> None:
    for service in KILLED:
        stack.stop(service)
        assert stack.has_ended(service)
        assert stack.exit_status(service) == 0, service
        stack.restart(service)
    stack.wait_ready()
