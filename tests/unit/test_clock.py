"""The clock of limits and waits: it passes with the stopwatch whatever is done to the machine's clock, and follows that slowly."""

from __future__ import annotations

import inspect
import threading

import pytest

from services.gateway.access.gate import Gate
from services.gateway.sessions.admission import Admission
from services.gateway.sessions.hub import SessionHub
from services.projector.archive import ArchiveStage
from services.projector.housekeeping import Housekeeping
from services.projector.projection import ResultProjection
from voxrelay import process
from voxrelay.clock import FOLLOWING, ClockWatch, SteadyClock, steady_time
from voxrelay.runner import ProjectionRunner, StageRunner

HOUR_S = 3600.0


class Machine:
    """A machine's two clocks."""

    def __init__(self) -> None:
        self.wall_s, self.stopwatch_s = 1_700_000_000.0, 50.0
        self.steady = SteadyClock(lambda: self.wall_s, lambda: self.stopwatch_s)

    def wait(self, seconds: float) -> float:
        """What the steady clock says has passed."""
        before = self.steady()
        self.wall_s += seconds
        self.stopwatch_s += seconds
        return self.steady() - before


def test_undisturbed_it_is_the_time_of_day() -> None:
    machine = Machine()
    assert machine.wait(HOUR_S) == pytest.approx(HOUR_S)
    assert machine.steady() == pytest.approx(machine.wall_s)


@pytest.mark.parametrize("jump_s", [60.0, -60.0])
def test_a_jump_is_followed_slowly_and_never_backwards(jump_s: float) -> None:
    machine = Machine()
    machine.wall_s += jump_s
    machine.wait(1.0)  # it looks once a second
    passed = [machine.wait(0.1) for _ in range(5000)]
    assert min(passed) > 0.1 * (1 - FOLLOWING) - 1e-5
    assert max(passed) < 0.1 * (1 + FOLLOWING) + 1e-5
    followed_s = sum(passed) - 500.0 if jump_s > 0 else 500.0 - sum(passed)
    assert followed_s == pytest.approx(500.0 * FOLLOWING, rel=0.1)
    assert all(machine.wait(0.1) > 0.0 for _ in range(10_000))
    assert machine.steady() == pytest.approx(machine.wall_s)
    assert machine.wait(1.0) == pytest.approx(1.0)


def test_a_jump_there_and_back_leaves_no_trace() -> None:
    machine = Machine()
    machine.wall_s += HOUR_S
    for _ in range(80):
        machine.wait(0.1)
    machine.wall_s -= HOUR_S
    for _ in range(200):
        assert machine.wait(0.1) > 0.0
    assert machine.steady() == pytest.approx(machine.wall_s)


def test_who_asks_seldom_is_not_led_astray() -> None:
    machine = Machine()
    machine.wall_s += 30.0
    machine.wait(1.0)
    assert machine.wait(HOUR_S) == pytest.approx(HOUR_S, abs=0.1)


@pytest.mark.parametrize("part", [StageRunner, ProjectionRunner, SessionHub, Admission, Gate, ArchiveStage, Housekeeping, ResultProjection])
def test_whatever_lives_long_goes_by_it(part: type) -> None:
    """Found by the campaign: a clock an hour ahead ended every session of a gateway as idle, and lost the audio of those the archive held."""
    assert inspect.signature(part).parameters["clock"].default is steady_time


class Gone(BaseException):
    """The process has ended."""


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With which status a process ended on the spot."""
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        raise Gone

    monkeypatch.setattr(process.os, "_exit", leave)
    monkeypatch.setattr(process.logging, "shutdown", lambda: None)
    monkeypatch.setattr(process, "LOOK_EVERY_S", 0.001)
    return statuses


def test_a_process_whose_clock_is_set_back_ends_at_once(status: list[int]) -> None:
    """Found by the campaign: a Kafka client that waited through the jump came back an hour later."""
    machine = Machine()
    watch = ClockWatch(lambda: machine.wall_s, lambda: machine.stopwatch_s)
    machine.wall_s -= HOUR_S
    with pytest.raises(Gone):
        process.wait_for_end(threading.Event(), lambda: False, watch)
    assert status == [1]


def test_a_clock_set_ahead_or_a_little_back_ends_nothing(status: list[int]) -> None:
    machine, looks = Machine(), iter(range(100))
    watch = ClockWatch(lambda: machine.wall_s, lambda: machine.stopwatch_s)

    def has_failed() -> bool:
        look = next(looks)
        machine.wall_s += {10: HOUR_S, 20: -1.0, 30: -1.0}.get(look, 0.0)
        return look == 50

    process.wait_for_end(threading.Event(), has_failed, watch)
    stopped = threading.Event()
    stopped.set()
    process.wait_for_end(stopped, lambda: False, watch)
    assert status == []
