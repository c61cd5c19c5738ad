"""deepgram-sdk 7.x, Flux: URL WAV KEY sync|async. Prints what the handlers were given."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v2.types import ListenV2Configure, ListenV2ConfigureThresholds
from speech import PACE, PIECE_S, pieces, rate_of

url, path, key, kind = sys.argv[1:]
socket_url = url.replace("http", "ws", 1)
environment = DeepgramClientEnvironment(base=url, production=socket_url, agent=socket_url, agent_rest=url)
options: dict[str, Any] = {
    "model": "flux-general-en",
    "encoding": "linear16",
    "sample_rate": rate_of(path),
    "eot_threshold": 0.95,
    "eager_eot_threshold": 0.4,
    "eot_timeout_ms": 3000,
    "keyterm": ["telephone"],
    "tag": ["a"],
}
change = ListenV2Configure(thresholds=ListenV2ConfigureThresholds(eot_threshold=0.9), keyterms=["hello"], numerals=True)
messages: list[dict[str, Any]] = []
is_over = threading.Event()


TURN_WITHIN_S = 60.0
silence = bytes(len(next(iter(pieces(path)))))


def is_turn_over() -> bool:
    return any(message.get("event") == "EndOfTurn" for message in messages)


def take(event: str, value: Any) -> None:
    messages.append({"event_type": event, "class": type(value).__name__} | (json.loads(value.json()) if hasattr(value, "json") else {}))
    if event == "close":
        is_over.set()


def synchronous() -> None:
    with DeepgramClient(api_key=key, environment=environment).listen.v2.connect(**options) as connection:
        for event in EventType:
            connection.on(event, lambda value=None, event=event: take(event.value, value))
        threading.Thread(target=connection.start_listening, daemon=True).start()
        connection.send_configure(change)
        for piece in pieces(path):
            connection.send_media(piece)
            time.sleep(PIECE_S / PACE)
        last = time.monotonic() + TURN_WITHIN_S
        while not is_turn_over() and time.monotonic() < last:  # somebody who listens says nothing
            connection.send_media(silence)
            time.sleep(PIECE_S)
        connection.send_close_stream()
        is_over.wait(20)


async def asynchronous() -> None:
    async with AsyncDeepgramClient(api_key=key, environment=environment).listen.v2.connect(**options) as connection:
        for event in EventType:
            connection.on(event, lambda value=None, event=event: take(event.value, value))
        listening = asyncio.create_task(connection.start_listening())
        await connection.send_configure(change)
        for piece in pieces(path):
            await connection.send_media(piece)
            await asyncio.sleep(PIECE_S / PACE)
        last = time.monotonic() + TURN_WITHIN_S
        while not is_turn_over() and time.monotonic() < last:
            await connection.send_media(silence)
            await asyncio.sleep(PIECE_S)
        await connection.send_force_end_turn()
        await connection.send_close_stream()
        await asyncio.wait_for(listening, 20)


if kind == "sync":
    synchronous()
else:
    asyncio.run(asynchronous())
print(json.dumps(messages))
