"""How the threads of a service end when the log does not serve this process any more."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.unit.gateway.conftest import scripted_service
from voxrelay.bus.memory import MemoryBus
from voxrelay.errors import Fenced
from voxrelay.process import FENCED, ServiceThreads
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
