"""A running gateway with scripted stages under hostile input, and what must hold afterwards."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect

from services.gateway import server as server_module
from services.gateway.requests import bounds
from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from tests.unit.gateway.conftest import scripted_service
from voxrelay.bus.memory import MemoryBus
from voxrelay.process import ServiceThreads
from voxrelay.settings import PlatformSettings
from voxrelay.storage.database import connect as connect_database
from voxrelay.storage.migrations import migrate
from voxrelay.storage.views import Views
from voxrelay.telemetry import REFUSALS
from voxrelay.topology import topic_specs

SEED = os.environ.get("FUZZ_SEED", "1")
CASES = int(os.environ.get("CASES", "0"))  # of each kind; 0: a share that takes a minute for all
ONLY = os.environ.get("FUZZ_CASE", "")  # one case that failed, as the failure names it
AT_ONCE = 8
CASE_S = 120.0  # a case that takes longer hangs; a machine that is busy with other things too is slow
MEMORY_MB = 150  # the records that the in-memory bus keeps, the interpreter's own, and no more however many cases
BUS_BYTES = 48 * 1024 * 1024
OURS = "INTERNAL"


class _Log(logging.Handler):
    """Errors, and whatever carries an exception."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or (record.exc_info and record.exc_info[0] is not None):
            self.found.append(f"{record.name}: {self.format(record)}"[:6000])


def _rss_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def routes(app: Any) -> Iterator[Any]:
    """Every route, however deep it was included."""
    for route in app.routes:
        if hasattr(route, "original_router"):
            yield from routes(route.original_router)
        else:
            yield route


class Target:
    """The gateway, and ``run``, which throws cases at it and then looks whether it is well."""

    def __init__(self, gateway: GatewayServer, app: FastAPI, log: _Log) -> None:
        self.gateway, self.app, self._log = gateway, app, log
        self.url = f"http://127.0.0.1:{gateway.port}"
        self.sockets = sorted({route.path for route in routes(app) if isinstance(route, WebSocketRoute)})
        self.paths = sorted({route.path for route in routes(app) if getattr(route, "path", None)})

    def run(self, kind: str, cases: int, attempt: Callable[[Random], Awaitable[None]]) -> None:
        """``attempt`` for each case, some at once. A failure names its case: FUZZ_CASE=… makes it the only one."""
        names = [f"{kind}:{SEED}:{index}" for index in range(CASES or cases)]
        if ONLY:
            names = [ONLY] if ONLY.startswith(f"{kind}:") else []
        self._log.found.clear()
        ours, before_mb = self.failures_of_ours(), _rss_mb()
        asyncio.run(self._all(names, attempt))
        self.is_well(ours, before_mb)

    def failures_of_ours(self) -> float:
        """How often an answer was INTERNAL."""
        return sum(sample.value for metric in REFUSALS.collect() for sample in metric.samples if sample.labels.get("code") == OURS)

    async def _all(self, names: list[str], attempt: Callable[[Random], Awaitable[None]]) -> None:
        waiting = iter(names)

        async def work() -> None:
            for name in waiting:
                try:
                    async with asyncio.timeout(CASE_S):
                        await attempt(Random(name))
                except TimeoutError:
                    raise AssertionError(f"FUZZ_CASE={name} hangs") from None
                except Exception as error:
                    raise AssertionError(f"FUZZ_CASE={name}: {error!r}") from error
                assert not self._log.found, f"FUZZ_CASE={name} or one beside it: {self._log.found[0]}"

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    def is_well(self, ours: float, before_mb: float | None = None) -> None:
        """No session is left, nothing of ours failed, memory is flat, and a whole good session is answered."""
        deadline = time.monotonic() + 20
        while self.gateway._hub.open_sessions and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.gateway._hub.open_sessions == 0
        gc.collect()  # tasks whose exceptions nobody asked for say so now
        assert not self._log.found, self._log.found[0]
        assert self.failures_of_ours() == ours
        assert before_mb is None or _rss_mb() - before_mb < MEMORY_MB
        asyncio.run(self._good_session())

    async def _good_session(self) -> None:
        async with asyncio.timeout(20), connect(f"ws://127.0.0.1:{self.gateway.port}/ws/v1/transcribe", compression=None) as socket:
            await socket.send(bytes(2 * 16_000))
            await socket.send(json.dumps({"type": "close_stream"}))
            kinds = [json.loads(text)["type"] async for text in socket]
        assert kinds[0] == "session"
        assert "final" in kinds
        assert kinds[-1] == "closed"


@contextmanager
def _capturing() -> Iterator[_Log]:
    log = _Log()
    logging.getLogger().addHandler(log)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(log)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    database = f"sqlite:///{tmp_path_factory.mktemp('fuzz') / 'fuzz.db'}"
    migrate(database)
    bus = MemoryBus(max_bytes=BUS_BYTES)
    bus.create_topics(topic_specs(4))
    threads = ServiceThreads(bus, PlatformSettings(), [scripted_service()])
    settings = GatewaySettings(
        port=0, grpc_port=0, drain_s=0.0, idle_s=5.0, resume_s=2.0, stage_timeout_s=10.0, max_audio_s=120.0, max_file_bytes=4_000_000
    )
    built: list[FastAPI] = []
    build = server_module.build_app

    def remember(*arguments: Any, **options: Any) -> FastAPI:
        built.append(build(*arguments, **options))
        return built[-1]

    with _capturing() as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "build_app", remember)
        patch.setattr(bounds, "HEAD_S", CASE_S)  # client and server share a thread's time: on a busy machine a request may need longer to begin
        threads.start()
        gateway = GatewayServer(bus, settings, "127.0.0.1", {}, Views(connect_database(database, is_read_only=True)))
        gateway.start()
        try:
            yield Target(gateway, built[0], log)
        finally:
            gateway.stop()
            threads.stop()
