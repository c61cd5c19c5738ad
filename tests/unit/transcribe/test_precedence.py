"""Who listens to a file waits for those who listen to people, and is not starved."""

from __future__ import annotations

import time
from ctypes import c_int

import pytest

from services.transcribe.engines import precedence
from services.transcribe.engines.precedence import PIECE_BYTES, AtWork, in_turn

PCM = bytes(range(256)) * (PIECE_BYTES * 20 // 256) + b"end"


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_who_waits_for_nobody_has_everything_at_once() -> None:
    assert list(in_turn(PCM, None)) == [PCM]
    assert list(in_turn(b"", None)) == [b""]


def test_nothing_waits_while_nobody_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence.time, "sleep", lambda _: pytest.fail("waited"))
    pieces = list(in_turn(PCM, c_int(0)))
    assert b"".join(pieces) == PCM
    assert {len(piece) for piece in pieces[:-1]} == {PIECE_BYTES}


def test_beside_people_it_has_a_tenth_of_the_time() -> None:
    """By the processor's time, so that a full machine makes it less, not more."""
    began, worked = time.monotonic(), time.process_time()
    last = worked
    for piece in in_turn(PCM, c_int(1)):
        last = time.process_time()
        assert time.monotonic() - began >= precedence.FIRST_WAIT_S + 0.9 * (last - worked) / precedence.LEAST_SHARE
        work(0.01 if piece else 0.0)
    share = (last - worked) / (time.monotonic() - began)
    assert 0.0 < share < 0.15


def test_it_goes_on_when_they_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, slept = c_int(2), 0

    def sleep(_: float) -> None:
        nonlocal slept
        slept += 1
        ahead.value -= 1

    monkeypatch.setattr(precedence.time, "sleep", sleep)
    monkeypatch.setattr(precedence, "FIRST_WAIT_S", 1e9)
    assert b"".join(in_turn(PCM, ahead)) == PCM
    assert slept == 2


def test_they_are_counted_while_they_are_at_work() -> None:
    at_work = AtWork()
    with at_work, at_work:
        assert at_work.count.value == 2
    with pytest.raises(RuntimeError), at_work:
        raise RuntimeError
    assert at_work.count.value == 0
