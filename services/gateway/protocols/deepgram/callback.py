"""What a client hears, posted to its address as well: in order, one at a time, given up when the address does not take it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from services.gateway.files import fetching
from services.gateway.files.fetching import Reach
from services.gateway.settings import GatewaySettings
from voxrelay.errors import Refused
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

MOST_WAITING = 256


class Callback:
    """Used on the event loop. Raises ``Refused`` URL_REFUSED for an address that is never called."""

    def __init__(self, url: str, method: str, settings: GatewaySettings) -> None:
        self._url, self._method, self._reach = url, method, Reach.of(settings)
        fetching.checked(url, self._reach)
        self._waiting: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._posting = asyncio.create_task(self._post())

    def put(self, message: dict[str, Any]) -> None:
        """Interims go first when the address is slow."""
        is_interim = message["type"] == "Results" and not message["is_final"]
        if not self._posting.done() and self._waiting.qsize() < (1 if is_interim else MOST_WAITING):
            self._waiting.put_nowait(message)

    async def finish(self) -> None:
        """Ends when all has been taken or given up."""
        self._waiting.put_nowait(None)
        await self._posting

    def abandon(self) -> None:
        self._posting.cancel()

    async def _post(self) -> None:
        while (message := await self._waiting.get()) is not None:
            try:
                await fetching.call_back(self._url, message, self._method, self._reach)
            except Refused as refused:
                log.warning("A callback was given up.", extra=fields(code=refused.code))
                return
