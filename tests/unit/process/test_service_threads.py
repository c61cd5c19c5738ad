"""The threads of a service: whose work goes first, and how they end when the log does not serve this process any more."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Any

import pytest

from tests.unit.gateway.conftest import scripted_service
from voxrelay.bus.memory import MemoryBus
from voxrelay.errors import Fenced
from voxrelay.process import BULK_NICENESS, FENCED, ServiceThreads
from voxrelay.settings import PlatformSettings
from voxrelay.topology import topic_specs


class _Shut(MemoryBus):
    """Takes members, and then serves another process of their name."""

    def subscribe(self, *arguments: Any) -> Any:
        consumer: Any = super().subscribe(*arguments)

        def poll(*_: Any) -> None:
            raise Fenced("Static consumer fenced by other consumer with same group.instance.id")

        consumer.poll = poll
        return consumer


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a share of the processor of their own on Linux alone")
def test_the_bulk_lane_yields_to_the_live_one() -> None:
    bus = MemoryBus()
    bus.create_topics(topic_specs(1))
    threads = ServiceThreads(bus, PlatformSettings(), [scripted_service()])
    threads.start()
    try:
        running = {thread.name: thread for thread in threading.enumerate()}

        def niceness(name: str) -> int:
            return os.getpriority(os.PRIO_PROCESS, running[name].native_id or 0)

        own = os.getpriority(os.PRIO_PROCESS, 0)
        yielding = max(own, BULK_NICENESS)
        deadline = time.monotonic() + 20
        while niceness("transcribe-bulk") != yielding and time.monotonic() < deadline:
            time.sleep(0.01)
        assert niceness("transcribe-bulk") == niceness("denoise-bulk") == yielding
        assert niceness("transcribe-live") == niceness("denoise-live") == own
    finally:
        threads.stop()


def test_a_fenced_runner_says_one_sentence_and_the_process_is_to_end(caplog: pytest.LogCaptureFixture) -> None:
    bus = _Shut()
    bus.create_topics(topic_specs(1))
    threads = ServiceThreads(bus, PlatformSettings(), [scripted_service()])
    with caplog.at_level(logging.CRITICAL):
        threads.start()
        assert threads.failed.wait(30)
        threads.stop()
    assert {record.getMessage() for record in caplog.records} == {FENCED}
    assert not any(record.exc_info for record in caplog.records)
