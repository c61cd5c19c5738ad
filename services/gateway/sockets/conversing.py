"""The two tasks of a connection, one that reads and one that writes: whichever ends first decides how it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

NO_CLOSE_FRAME = 1006


@asynccontextmanager
async def one_has_ended(*tasks: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Entered when one of them has ended, however. Left, all of them are over, and what they raised belongs to who awaited them inside.

    Of two that send, one finds out that the client is gone and the other that nothing can be sent any more: both are ``WebSocketDisconnect``.
    """
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        yield
    except WebSocketDisconnected as gone:
        raise WebSocketDisconnect(NO_CLOSE_FRAME) from gone
    except WebSocketDisconnect as gone:
        raise WebSocketDisconnect(gone.code, gone.reason) from None  # without the way it came, which leads back to the tasks
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, BaseException):
                ended.__traceback__ = None
