"""JSON messages out of a WebSocket, as every live protocol sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import WebSocket

from services.gateway.sockets.short_way import connection_of

SEND_TIMEOUT_S = 10.0


async def send_json(socket: WebSocket, message: Mapping[str, Any]) -> None:
    """Raises ``TimeoutError`` when the client does not read for too long."""
    text = json.dumps(message, ensure_ascii=False)
    connection = connection_of(socket.scope)
    if connection is None or not connection.tell(text):
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_text(text)
