"""Both buses, for the suites that every bus must pass."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from voxrelay.bus.api import Bus
from voxrelay.bus.memory import MemoryBus


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.services)])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    from voxrelay.bus.kafka import KafkaBus

    yield KafkaBus(bootstrap)


@pytest.fixture
def unique() -> str:
    """A name no other test uses: the real broker outlives a test."""
    return uuid.uuid4().hex[:12]
