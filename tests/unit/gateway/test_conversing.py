"""Two tasks of a connection: when one ends, who waits is told; when it leaves, both are over."""

from __future__ import annotations

import asyncio

import pytest
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

from services.gateway.sockets.conversing import one_has_ended


async def _fails() -> None:
    raise ValueError("what it was")


async def test_the_other_one_runs_on_inside_and_is_over_afterwards() -> None:
    first, second = asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(asyncio.sleep(3600))
    async with one_has_ended(first, second):
        assert first.done()
        assert not second.done()
    assert second.cancelled()


async def test_what_a_task_raised_comes_to_who_awaits_it_and_nobody_else() -> None:
    failing, other = asyncio.create_task(_fails()), asyncio.create_task(asyncio.sleep(3600))
    async with one_has_ended(failing, other):
        pass
    assert other.cancelled()
    failing, other = asyncio.create_task(_fails()), asyncio.create_task(asyncio.sleep(3600))
    with pytest.raises(ValueError, match="what it was"):
        async with one_has_ended(failing, other):
            await failing
    assert other.cancelled()


async def test_that_nothing_can_be_sent_any_more_means_that_the_client_is_gone() -> None:
    async def told_by_the_other() -> None:
        raise WebSocketDisconnected('Cannot call "send" once a close message has been sent.')

    writing, reading = asyncio.create_task(told_by_the_other()), asyncio.create_task(asyncio.sleep(3600))
    with pytest.raises(WebSocketDisconnect) as gone:
        async with one_has_ended(writing, reading):
            await writing
    assert gone.value.code == 1006


async def test_who_is_cancelled_while_it_waits_leaves_no_task_behind() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(2)]

    async def converse() -> None:
        async with one_has_ended(*tasks):
            raise AssertionError("neither has ended")

    conversing = asyncio.create_task(converse())
    await asyncio.sleep(0)
    conversing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await conversing
    assert all(task.cancelled() for task in tasks)
