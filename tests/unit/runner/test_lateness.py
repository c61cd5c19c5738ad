"""The lag in seconds: true while a stage hangs, and nothing when it is through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from prometheus_client import REGISTRY

from tests.unit.runner.counting import CountingStage
from tests.unit.runner.test_stage_runner import feed, make_bus, session_of
from voxrelay.bus.api import Rebalance, Record, TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import AudioReceived, SessionEnded
from voxrelay.runner import StageRunner
from voxrelay.runner.lateness import Lateness
from voxrelay.topology import DENOISE, TopicSpec

PATIENCE_S = 30.0


class Whole(Rebalance):
    def assigned(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {}

    def revoked(self, sources: Sequence[TopicPartition]) -> None: ...

    def lost(self, sources: Sequence[TopicPartition]) -> None: ...


class Reading:
    """A log of one partition whose clock the test turns, and a reader of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bus = MemoryBus(clock=lambda: self.now)
        self.bus.create_topics([TopicSpec("t", 1, {}, "")])
        self.consumer = self.bus.subscribe("g", ["t"], Whole())
        self.lateness = Lateness()

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            self.bus.producer().send("t", b"k", b"v")

    def poll(self, most: int = 500) -> list[Record]:
        records = self.consumer.poll(most, 0)
        self.lateness.polled(records)
        return records

    def lag_s(self) -> float:
        return self.lateness.lag_s(self.now)


def test_nothing_is_late_when_nothing_came() -> None:
    reading = Reading()
    reading.lateness.handled(reading.poll(), reading.consumer)
    assert reading.lag_s() == 0.0


def test_what_is_in_hand_grows_old_and_is_forgotten_when_handled() -> None:
    reading = Reading()
    reading.write()
    records = reading.poll()
    assert reading.lag_s() == 0.0
    reading.now += 7.0
    assert reading.lag_s() == 7.0  # the stage hangs
    reading.lateness.handled(records, reading.consumer)
    assert reading.lag_s() == 0.0


def test_a_backlog_is_as_old_as_what_stands_before_it() -> None:
    reading = Reading()
    reading.write(10)
    reading.now += 5.0
    reading.write(10)
    reading.now += 60.0
    first = reading.poll(10)
    assert reading.lag_s() == 65.0
    reading.lateness.handled(first, reading.consumer)
    assert reading.lag_s() == 65.0  # more is there; how old it is will be known when it is polled
    second = reading.poll(10)
    assert reading.lag_s() == 60.0
    reading.lateness.handled(second, reading.consumer)
    assert reading.lag_s() == 0.0


def test_an_hour_without_work_is_no_lag() -> None:
    reading = Reading()
    reading.write()
    reading.lateness.handled(reading.poll(), reading.consumer)
    reading.now += 3600.0
    reading.write()
    reading.now += 0.5
    reading.poll()
    assert reading.lag_s() == 0.5


def test_a_partition_of_another_owner_is_not_late_here() -> None:
    reading = Reading()
    reading.write()
    reading.poll()
    reading.now += 9.0
    reading.lateness.forget(TopicPartition("t", 0))
    assert reading.lag_s() == 0.0


def _told(name: str) -> float:
    value = REGISTRY.get_sample_value(name, {"stage": DENOISE.name, "lane": "live"})
    assert value is not None
    return value


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_runner_tells_of_a_stage_that_hangs_and_of_what_it_holds() -> None:
    bus, stage = make_bus(), CountingStage()
    hanging, go_on = threading.Event(), threading.Event()

    def hang(event: object) -> None:
        if getattr(event, "sequence", 0) == 9:
            hanging.set()
            go_on.wait(PATIENCE_S)

    stage.fail = hang
    runner, stop = StageRunner(bus, DENOISE, "live", stage), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        feed(bus, "s", session_of(4)[:5])  # opened and four chunks: in the middle of an utterance
        _wait_until(lambda: _told("voxrelay_open_utterances") == 1 and _told("voxrelay_stage_sessions") == 1)
        assert _told("voxrelay_checkpoint_age_records") == 5
        age_s = _told("voxrelay_checkpoint_age_seconds")
        _wait_until(lambda: _told("voxrelay_checkpoint_age_seconds") > age_s)
        assert _told("voxrelay_stage_lag_seconds") == 0.0
        feed(bus, "s", [AudioReceived(n, b"%d" % n) for n in range(4, 8)], first=6)
        assert hanging.wait(PATIENCE_S)
        lag_s = _told("voxrelay_stage_lag_seconds")
        _wait_until(lambda: _told("voxrelay_stage_lag_seconds") > lag_s)
        go_on.set()
        _wait_until(lambda: _told("voxrelay_stage_lag_seconds") == 0.0)
        assert _told("voxrelay_busy_seconds_total") > 0
        feed(bus, "s", [SessionEnded()], first=10)
        _wait_until(lambda: _told("voxrelay_stage_sessions") == 0 and _told("voxrelay_checkpoint_age_seconds") == 0)
    finally:
        go_on.set()
        stop.set()
        thread.join(PATIENCE_S)
