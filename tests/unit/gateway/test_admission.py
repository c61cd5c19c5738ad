"""New live sessions are refused while results come late; those admitted go on, and so does the bulk lane."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from services.gateway.server import GatewayServer
from services.gateway.sessions.admission import RETRY_AFTER_S, Admission
from tests.unit.gateway import conftest as scripted
from tests.unit.gateway.test_native import RATE_HZ, _wav, dial, everything, of
from voxrelay.errors import Refused
from voxrelay.events import UtteranceEnded


def _refuses(admission: Admission, now: float, sessions: int = 1) -> bool:
    try:
        admission.enter(now, sessions)
    except Refused as refused:
        return (refused.code, refused.retry_after_s) == ("OVERLOADED", RETRY_AFTER_S)
    return False


def test_late_results_refuse_and_prompt_ones_admit_again() -> None:
    admission = Admission(2.0)
    for at in (0.0, 0.1, 0.2):
        admission.came("transcribe", 0.3, at)
        admission.came("diarize", 9.0, at)
    assert _refuses(admission, 0.3)  # the slowest stage decides
    assert not _refuses(admission, 4.0)  # nothing is known any more
    for at in (5.0, 5.1, 5.2):
        admission.came("diarize", 0.5, at)
    assert not _refuses(admission, 5.3)


def test_one_slow_result_among_prompt_ones_refuses_nobody() -> None:
    admission = Admission(2.0)
    for at, delay_s in enumerate((0.2, 30.0, 0.2, 0.3)):
        admission.came("transcribe", delay_s, at / 10)
    assert not _refuses(admission, 0.5)


def test_a_session_that_waits_for_too_long_refuses() -> None:
    admission = Admission(2.0)
    admission.waits([0.0, 2.5, 0.1], 0.0)
    assert _refuses(admission, 0.0)
    admission.waits([], 0.0)
    assert not _refuses(admission, 0.0)


def test_one_session_in_ten_that_is_stuck_refuses_nobody() -> None:
    admission = Admission(2.0)
    admission.waits([60.0] + [0.1] * 9, 0.0)
    assert not _refuses(admission, 0.0)
    admission.waits([60.0, 2.1] + [0.1] * 8, 0.0)
    assert _refuses(admission, 0.0)


def _with(sessions: int, busy: float, seconds: float = 12.0, delay_s: float = 0.1) -> Admission:
    """So many sessions for so long, ten results a second, and the busiest of two stages as busy."""
    admission = Admission(5.0, 0.75)
    for tenth in range(int(seconds * 10)):
        if tenth % 10 == 0:
            admission.waits([0.0] * sessions, tenth / 10)
        admission.came("denoise", 0.05, tenth / 10, busy / 3)
        admission.came("transcribe", delay_s, tenth / 10, busy)
    return admission


def _taken(admission: Admission, sessions: int, knock: int, now: float) -> int:
    taken = 0
    for _ in range(knock):
        taken += not _refuses(admission, now, sessions + taken)
    return taken


def test_a_crowd_is_taken_as_far_as_the_busiest_stage_has_room() -> None:
    assert _taken(_with(10, 0.375), 10, 100, 12.0) == 10
    assert _taken(_with(10, 0.01), 10, 500, 12.0) == 500
    assert _taken(_with(200, 0.39), 200, 1000, 12.0) == 184


def test_nothing_is_known_before_the_first_sessions() -> None:
    assert _taken(Admission(5.0, 0.75), 0, 100, 0.0) == 100


def test_what_a_session_costs_is_known_while_nobody_is_there() -> None:
    admission = _with(10, 0.375)
    for second in range(12, 100):
        admission.waits([], second)
    assert _taken(admission, 0, 100, 100.0) == 20


def test_many_who_leave_at_once_do_not_make_the_last_of_them_dear() -> None:
    admission = _with(100, 0.5)
    for second in range(12, 40):
        admission.waits([0.0], second)
        admission.came("transcribe", 0.1, second, 0.005)
        assert _taken(admission, 1, 30, second) == 30
        admission._entered.clear()


def test_a_full_stage_that_is_prompt_is_tried_with_few_at_a_time() -> None:
    """What works in batches may be at work all the time and have room in them."""
    admission = _with(80, 1.0)
    assert _taken(admission, 80, 100, 12.0) == 11
    assert _taken(admission, 91, 100, 12.5) == 0
    for tenth in range(120, 240):
        admission.waits([0.0] * 91, tenth / 10)
        admission.came("transcribe", 0.1, tenth / 10, 1.0)
    assert _taken(admission, 91, 100, 24.0) == 12


def test_a_full_stage_that_is_late_is_full() -> None:
    assert _taken(_with(80, 1.0, delay_s=0.7), 80, 100, 12.0) == 0
    assert _taken(_with(80, 0.59, delay_s=0.7), 80, 100, 12.0) == 21


def test_a_full_stage_that_was_late_a_moment_ago_is_full() -> None:
    admission = _with(80, 1.0)
    for at, delay_s in ((12.0, 0.7), (13.0, 0.7), (14.0, 0.7), (18.0, 0.1), (19.0, 0.1), (20.0, 0.1)):
        for tenth in range(10):
            admission.came("transcribe", delay_s, at + tenth / 10, 1.0)
        admission.waits([0.0] * 80, at + 1)
    assert admission.lag_s(21.0) == 0.1
    assert _taken(admission, 80, 100, 21.0) == 0
    for second in range(21, 28):
        admission.came("transcribe", 0.1, second, 1.0)
        admission.waits([0.0] * 80, second)
    assert _taken(admission, 80, 100, 28.0) == 11


def test_those_who_have_just_come_are_not_taken_for_free() -> None:
    """What they cost comes later: until then they count as much as the others."""
    admission = _with(10, 0.375)
    for second in (12, 13, 14):
        admission.waits([0.0] * 18, second)
        admission.came("transcribe", 0.1, second, 0.375)
    assert _taken(admission, 18, 100, 15.0) == 2


def test_callers_who_come_as_others_go_are_taken() -> None:
    admission = _with(50, 0.6)
    for second in range(12, 60):
        admission.waits([0.0] * 50, second)
        for _ in range(10):
            admission.came("transcribe", 0.1, second, 0.6)
        assert _taken(admission, 47, 3, second) == 3


class _Stuck:
    """transcribe: nothing comes while it is held."""

    def __init__(self) -> None:
        self.is_held = True

    def __call__(self, ended: UtteranceEnded, config: Any) -> Sequence[Any]:
        while self.is_held:
            time.sleep(0.01)
        return scripted.transcribe(ended, config)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Stuck]:
    answer = _Stuck()
    original = scripted.ScriptedResults.__init__

    def held(self: Any, name: str, given: Callable[..., Sequence[Any]]) -> None:
        original(self, name, answer if name == "transcribe" else given)

    monkeypatch.setattr(scripted.ScriptedResults, "__init__", held)
    yield answer
    answer.is_held = False


@pytest.mark.conformance("native", "refusal OVERLOADED, 1013 and 503, with Retry-After", "done")
async def test_a_stage_that_stands_still_refuses_new_sessions_and_the_old_one_ends_well(
    make_gateway: Callable[..., GatewayServer], stuck: _Stuck
) -> None:
    gateway = make_gateway(max_lag_s=0.5)
    async with dial(gateway) as admitted:
        await admitted.recv()
        await admitted.send(bytes(2 * RATE_HZ))
        while gateway._hub.admission.lag_s(time.time()) <= 0.5:
            await asyncio.sleep(0.05)
        async with dial(gateway) as late:
            assert of(await everything(late), "error")[0]["error"]["code"] == "OVERLOADED"
            assert late.close_code == 1013
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"ws://127.0.0.1:{gateway.port}/v1/listen?encoding=linear16&sample_rate=16000")
        assert refusal.value.response.status_code == 503
        assert refusal.value.response.headers["Retry-After"] == str(RETRY_AFTER_S)
        stuck.is_held = False
        answer = await asyncio.to_thread(httpx.post, f"http://127.0.0.1:{gateway.port}/api/process", content=_wav(), timeout=20)
        assert answer.status_code == 200  # the bulk lane has queues of its own
        await admitted.send(json.dumps({"type": "close_stream"}))
        assert [final["transcript"] for final in of(await everything(admitted), "final")] == ["hello u1"]
    while gateway._hub.admission.lag_s(time.time()) > 0.5:
        await asyncio.sleep(0.05)
    async with dial(gateway) as again:
        await again.send(json.dumps({"type": "close_stream"}))
        assert of(await everything(again), "closed")


async def test_sound_sent_faster_than_it_was_spoken_says_nothing_of_the_pace(make_gateway: Callable[..., GatewayServer], stuck: _Stuck) -> None:
    gateway = make_gateway(max_lag_s=0.3)
    async with dial(gateway) as ahead:
        await ahead.recv()
        for _ in range(60):
            await ahead.send(bytes(2 * RATE_HZ))
        await asyncio.sleep(1.0)
        async with dial(gateway) as other:
            assert json.loads(await other.recv())["type"] == "session"
        stuck.is_held = False
