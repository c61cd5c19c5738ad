"""The embedded platform's log ends with its process; what was activated does not."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from services.embedded import Embedded
from tests.unit.models.test_slot import Scripted, Shelf
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import ModelActivated
from voxrelay.models.activations import KEPT, ActivationLog
from voxrelay.models.slot import EngineSlot
from voxrelay.service import Service
from voxrelay.settings import PlatformSettings
from voxrelay.storage.migrations import migrate
from voxrelay.topology import topic_specs

WITHIN_S = 60.0
BETTER = ModelActivated("transcribe", "better", "tried", 0.25, ("",), 3.0, "other", 0.5)


def log_of(data: Path) -> ActivationLog:
    """A process's own."""
    bus = MemoryBus()
    bus.create_topics(topic_specs(1))
    return ActivationLog.lasting(bus, data)


def test_decisions_are_in_force_again_and_rollbacks_too(tmp_path: Path) -> None:
    first = log_of(tmp_path / "new")
    first.take_up()
    first.decide(BETTER)
    first.decide(ModelActivated("diarize", "mine"))
    second = log_of(tmp_path / "new")
    assert second.decisions() == {}
    second.take_up()
    assert second.decisions() == {"transcribe": BETTER, "diarize": ModelActivated("diarize", "mine")}
    second.decide(ModelActivated("diarize"))
    third = log_of(tmp_path / "new")
    third.take_up()
    assert third.decision("diarize") == ModelActivated("diarize")
    assert third.decision("transcribe") == BETTER


@pytest.mark.parametrize("content", ["", "{", "7", "[7]", '["x"]', '[{"model": 3}]', '{"task": "transcribe"}'])
def test_a_file_that_is_no_list_of_decisions_holds_nothing_up(tmp_path: Path, content: str) -> None:
    (tmp_path / KEPT).write_text(content)
    log = log_of(tmp_path)
    log.take_up()
    assert log.decisions() == {}


@pytest.mark.sockets
def test_the_embedded_platform_starts_with_what_was_activated_over_rest(tmp_path: Path) -> None:
    platform = PlatformSettings(data=tmp_path, models=tmp_path / "models")
    migrate(platform.resolved_database_url)

    def serve() -> tuple[Embedded, EngineSlot[Scripted]]:
        slot = EngineSlot("transcribe", Scripted("configured"), Shelf().load)
        embedded = Embedded(platform, [Service("transcribe", slots=[slot])], 0, 0)
        embedded.start()
        return embedded, slot

    embedded, slot = serve()
    try:
        answer = httpx.post(f"http://127.0.0.1:{embedded.port}/api/models/pocketsphinx/activate")
        assert answer.status_code == 200, answer.text
        deadline = time.monotonic() + WITHIN_S
        while slot.current.engine.name != "pocketsphinx":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        embedded.stop()
    again, slot = serve()
    again.stop()
    assert slot.decision.model == "pocketsphinx"
