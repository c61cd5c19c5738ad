"""Decisions about models reach every process that follows them, over every bus."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.unit.models.test_slot import Scripted, Shelf
from voxrelay.bus.api import Bus
from voxrelay.engines import EngineUnusable
from voxrelay.events import ModelActivated, ModelLoaded
from voxrelay.models.activations import ActivationLog
from voxrelay.models.follower import ActivationFollower
from voxrelay.models.slot import EngineSlot
from voxrelay.topology import CONTROL_TOPICS, topic_specs

WITHIN_S = 60.0


@pytest.fixture
def log(bus: Bus) -> ActivationLog:
    control = {topic.name for topic in CONTROL_TOPICS}
    bus.create_topics([spec for spec in topic_specs() if spec.name in control])
    return ActivationLog(bus)


Follow = Callable[[str, Shelf], tuple[EngineSlot[Scripted], ActivationFollower]]


@pytest.fixture
def follow(bus: Bus, unique: str) -> Iterator[Follow]:
    """Processes that follow a task, by their names."""
    started: list[ActivationFollower] = []

    def start(instance: str, shelf: Shelf) -> tuple[EngineSlot[Scripted], ActivationFollower]:
        slot = EngineSlot(unique, Scripted("configured"), shelf.load)
        follower = ActivationFollower(bus, [slot], instance)
        follower.start()
        started.append(follower)
        return slot, follower

    yield start
    for follower in started:
        follower.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(log: ActivationLog, task: str) -> dict[str, ModelLoaded]:
    return {state.instance: state for state in log.states() if state.task == task}


def test_what_was_decided_before_is_loaded_when_a_process_starts(log: ActivationLog, follow: Follow, unique: str) -> None:
    log.decide(ModelActivated(unique, "older"))
    log.decide(ModelActivated(unique, "newer", earlier=("older",)))
    shelf = Shelf()
    slot, _ = follow("a", shelf)
    assert slot.current.engine.name == "newer"
    assert [engine.engine.name for engine in shelf.made] == ["newer"]
    assert log.decision(unique) == ModelActivated(unique, "newer", earlier=("older",))


def test_every_process_follows_and_a_failure_is_said_while_the_model_before_stays(log: ActivationLog, follow: Follow, unique: str) -> None:
    well, ill = Shelf(), Shelf()
    ill.failures["big"] = EngineUnusable("There is no GPU here: use a CPU model.")
    (first, _), (second, stopped) = follow("a", well), follow("b", ill)
    log.decide(ModelActivated(unique, "small"))
    until(lambda: {slot.current.engine.name for slot in (first, second)} == {"small"})
    log.decide(ModelActivated(unique, "big", earlier=("", "small")))
    told = {"a": ("big", ""), "b": ("small", "There is no GPU here: use a CPU model.")}
    until(lambda: {name: (state.model, state.reason) for name, state in states(log, unique).items()} == told)  # it is told after it is so
    assert (first.current.engine.name, second.current.engine.name) == ("big", "small")
    stopped.stop()
    until(lambda: set(states(log, unique)) == {"a"})


def test_the_old_model_serves_while_the_new_one_loads(log: ActivationLog, follow: Follow, unique: str) -> None:
    is_loading, may_load = threading.Event(), threading.Event()

    class Slow(Shelf):
        def load(self, model: str) -> Scripted:
            is_loading.set()
            assert may_load.wait(WITHIN_S)
            return super().load(model)

    slot, _ = follow("a", Slow())
    log.decide(ModelActivated(unique, "big"))
    assert is_loading.wait(WITHIN_S)
    assert slot.take("s").engine.engine.name == "configured"
    may_load.set()
    until(lambda: slot.take("s").engine.engine.name == "big")
