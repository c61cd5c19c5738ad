"""People who come and go: so many at a time, each call some minutes long, then another begins in its place."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

RATE_HZ = 16_000
CHUNK_S = 0.1
CHUNK_BYTES = int(RATE_HZ * CHUNK_S) * 2
CLOSED_WITHIN_S = 60.0
RETRY_S = 1.0


class Load:
    """Calls over one gateway, on one event loop. ``speech``: mono pcm_s16le at 16 kHz, from which each call takes another stretch.

    ``delays`` grows by each message of the kind ``counts``: seconds from the sending of the newest audio it covers. Who reads it empties it.
    """

    def __init__(self, url: str, speech: bytes, *, counts: str, parameters: dict[str, str], call_s: float, seed: int) -> None:
        self._address = f"{url.replace('http', 'ws', 1)}/ws/v1/transcribe?{urlencode({'encoding': 'linear16', 'sample_rate': RATE_HZ, **parameters})}"
        self._speech, self._counts, self._call_s, self._seed = speech, counts, call_s, seed
        self._callers: list[asyncio.Task[None]] = []
        self._wanted = 0
        self.in_call = 0  # whose audio is taken
        self.delays: list[float] = []
        self.ended: Counter[str] = Counter()  # how calls ended: closed, or what went wrong
        self.heard: Counter[str] = Counter()  # messages by type

    async def hold(self, count: int) -> None:
        """From now on so many at a time, begun a few each chunk; whoever is too many hangs up now."""
        self._wanted = count
        while len(self._callers) < count:
            self._callers.append(asyncio.create_task(self._caller(len(self._callers))))
            await asyncio.sleep(CHUNK_S / 7)  # so that their chunks do not come all at once
        leaving, self._callers = self._callers[count:], self._callers[:count]
        await asyncio.gather(*leaving)

    async def _caller(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        while number < self._wanted:
            try:
                await self._call(number, chance)
                self.ended["closed"] += 1
            except (OSError, TimeoutError, WebSocketException, RuntimeError) as error:
                self.ended[str(error) or type(error).__name__] += 1
                await asyncio.sleep(RETRY_S)

    async def _call(self, number: int, chance: random.Random) -> None:
        chunks = int(self._call_s * chance.uniform(0.5, 1.5) / CHUNK_S)
        at = chance.randrange(0, len(self._speech) - CHUNK_BYTES, 2)
        sent: list[float] = []
        async with connect(self._address, compression=None, open_timeout=60) as connection:
            receiving = asyncio.create_task(self._receive(connection, sent))
            try:
                with suppress(ConnectionClosed):  # the other side has said why
                    while len(sent) < chunks and number < self._wanted and not receiving.done():
                        piece = self._speech[at : at + CHUNK_BYTES]
                        at = at + CHUNK_BYTES if at + 2 * CHUNK_BYTES <= len(self._speech) else 0
                        sent.append(time.perf_counter())
                        await connection.send(piece)
                        await asyncio.sleep(max(0.0, sent[0] + len(sent) * CHUNK_S - time.perf_counter()))
                    if not receiving.done():
                        await connection.send(json.dumps({"type": "close_stream"}))
                await asyncio.wait_for(receiving, CLOSED_WITHIN_S)
            finally:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    async def _receive(self, connection: Any, sent: Sequence[float]) -> None:
        is_taken = False
        try:
            async for text in connection:
                message = json.loads(text)
                self.heard[message["type"]] += 1
                if message["type"] == "session":
                    is_taken, self.in_call = True, self.in_call + 1
                elif message["type"] == "closed":
                    return
                elif message["type"] == "error":
                    raise RuntimeError(message["error"]["code"])
                elif message["type"] == self._counts and sent:
                    covered = round((message["start"] + message["duration"]) / CHUNK_S)
                    self.delays.append(time.perf_counter() - sent[min(max(covered, 1), len(sent)) - 1])
            raise RuntimeError("the connection ended without a word")
        finally:
            self.in_call -= is_taken
