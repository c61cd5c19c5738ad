"""deepgram-sdk 5.x, 6.x and 7.x, live: URL WAV KEY sync|async. Prints what the handlers were given."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import threading
import time
from importlib.metadata import version
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from speech import PACE, PIECE_S, pieces, rate_of

MAJOR = int(version("deepgram-sdk").split(".")[0])


class Heard:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.are_final, self.is_over = threading.Event(), threading.Event()

    def take(self, event: str, value: Any) -> None:
        fields = json.loads(value.json()) if hasattr(value, "json") else {"given": repr(value)[:300]}
        self.messages.append({"event": event, "class": type(value).__name__} | fields)
        if fields.get("from_finalize"):
            self.are_final.set()
        if event == "close":
            self.is_over.set()


def environment(url: str) -> DeepgramClientEnvironment:
    socket_url = url.replace("http", "ws", 1)
    places = {"base": url, "production": socket_url, "agent": socket_url, "agent_rest": url}
    known = inspect.signature(DeepgramClientEnvironment.__init__).parameters
    return DeepgramClientEnvironment(**{name: place for name, place in places.items() if name in known})


def options(path: str) -> dict[str, Any]:
    on: Any = True if MAJOR >= 6 else "true"  # 6.0 sends it as 'True'
    asked = {
        "model": "nova-3",
        "language": "en",
        "encoding": "linear16",
        "sample_rate": str(rate_of(path)),
        "interim_results": on,
        "smart_format": on,
        "diarize": on,
        "vad_events": on,
        "utterance_end_ms": "1000",
        "endpointing": "300",
        "keyterm": ["voxrelay", "deepgram"],
        "tag": ["a", "b"],
        "extra": "k:v",
    }
    if MAJOR >= 6:  # how parameters are sent that the SDK does not know
        asked["request_options"] = {"additional_query_parameters": {"voice": "true"}}
    return asked | ({"language_hint": ["en"]} if MAJOR >= 7 else {})


def control(connection: Any, kind: str) -> Any:
    """Each generation has its own way of sending a control message."""
    if MAJOR == 5:
        from deepgram.extensions.types.sockets import ListenV1ControlMessage

        return connection.send_control(ListenV1ControlMessage(type=kind))
    return {"Finalize": connection.send_finalize, "CloseStream": connection.send_close_stream, "KeepAlive": connection.send_keep_alive}[kind]()


def configure(connection: Any) -> Any:
    from deepgram.listen.v1.types import ListenV1Configure

    return connection.send_configure(ListenV1Configure(keyterms=["hello"], features={"numerals": True}))


def synchronous(url: str, path: str, key: str) -> Heard:
    heard = Heard()
    with DeepgramClient(api_key=key, environment=environment(url)).listen.v1.connect(**options(path)) as connection:
        for event in EventType:
            connection.on(event, lambda value=None, event=event: heard.take(event.value, value))
        listening = threading.Thread(target=connection.start_listening, daemon=True)
        listening.start()
        audio = list(pieces(path))
        control(connection, "KeepAlive")
        if MAJOR >= 7:
            configure(connection)
        for number, piece in enumerate(audio):
            connection.send_media(piece)
            time.sleep(PIECE_S / PACE)
            if number == len(audio) // 3:
                control(connection, "Finalize")
                heard.are_final.wait(20)
        time.sleep(1)
        control(connection, "CloseStream")
        heard.is_over.wait(20)
    return heard


async def asynchronous(url: str, path: str, key: str) -> Heard:
    heard = Heard()
    async with AsyncDeepgramClient(api_key=key, environment=environment(url)).listen.v1.connect(**options(path)) as connection:
        for event in EventType:
            connection.on(event, lambda value=None, event=event: heard.take(event.value, value))
        listening = asyncio.create_task(connection.start_listening())
        audio = list(pieces(path))
        await control(connection, "KeepAlive")
        if MAJOR >= 7:
            await configure(connection)
        for number, piece in enumerate(audio):
            await connection.send_media(piece)
            await asyncio.sleep(PIECE_S / PACE)
            if number == len(audio) // 3:
                await control(connection, "Finalize")
                await asyncio.to_thread(heard.are_final.wait, 20)
        await asyncio.sleep(1)
        await control(connection, "CloseStream")
        await asyncio.wait_for(listening, 20)
    return heard


url, path, key, kind = sys.argv[1:]
try:
    heard = synchronous(url, path, key) if kind == "sync" else asyncio.run(asynchronous(url, path, key))
    print(json.dumps({"has_started": True, "messages": heard.messages}))
except Exception as error:
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if status is None:
        raise
    print(json.dumps({"has_started": False, "status": status, "messages": []}))
