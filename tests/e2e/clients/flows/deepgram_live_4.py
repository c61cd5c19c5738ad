"""deepgram-sdk 3.x and 4.x, live: URL WAV KEY sync|async. Prints what the handlers were given."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from functools import partial

from deepgram import DeepgramClient, DeepgramClientOptions, LiveOptions, LiveTranscriptionEvents
from speech import PACE, PIECE_S, pieces, rate_of

EVENTS = ("Open", "Transcript", "Metadata", "SpeechStarted", "UtteranceEnd", "Close", "Error", "Unhandled")


class Heard:
    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.are_final = threading.Event()
        self.is_over = threading.Event()

    def given(self, event: str, _client: object, *positional: object, **named: object) -> None:
        self.take(event, next(iter((*positional, *named.values())), None))

    async def given_later(self, event: str, client: object, *positional: object, **named: object) -> None:
        self.given(event, client, *positional, **named)

    def take(self, event: str, value: object) -> None:
        self.messages.append({"event": event} | (json.loads(value.to_json()) if hasattr(value, "to_json") else {}))
        if event == "Transcript" and self.messages[-1].get("from_finalize"):
            self.are_final.set()
        if event == "Metadata":
            self.is_over.set()


def client_of(url: str, key: str) -> DeepgramClient:
    return DeepgramClient(key, DeepgramClientOptions(url=url, options={"keepalive": "true"}))


def options_of(path: str) -> LiveOptions:
    return LiveOptions(
        model="nova-2",
        language="en-US",
        encoding="linear16",
        sample_rate=rate_of(path),
        channels=1,
        interim_results=True,
        punctuate=True,
        smart_format=True,
        diarize=True,
        vad_events=True,
        utterance_end_ms="1000",
        endpointing=300,
        filler_words=True,
        no_delay=True,
        tag=["a", "b"],
    )


def synchronous(url: str, path: str, key: str) -> tuple[bool, Heard]:
    heard = Heard()
    connection = client_of(url, key).listen.websocket.v("1")
    for name in EVENTS:
        connection.on(getattr(LiveTranscriptionEvents, name), partial(heard.given, name))
    if not connection.start(options_of(path), addons={"voice": "true"}):
        return False, heard
    audio = list(pieces(path))
    for number, piece in enumerate(audio):
        connection.send(piece)
        time.sleep(PIECE_S / PACE)
        if number == len(audio) // 3:
            connection.finalize()
            heard.are_final.wait(20)
    time.sleep(1)
    connection.send(json.dumps({"type": "CloseStream"}))
    heard.is_over.wait(20)
    connection.finish()
    return True, heard


async def asynchronous(url: str, path: str, key: str) -> tuple[bool, Heard]:
    heard = Heard()
    connection = client_of(url, key).listen.asyncwebsocket.v("1")
    for name in EVENTS:
        connection.on(getattr(LiveTranscriptionEvents, name), partial(heard.given_later, name))
    if not await connection.start(options_of(path), addons={"voice": "true"}):
        return False, heard
    audio = list(pieces(path))
    for number, piece in enumerate(audio):
        await connection.send(piece)
        await asyncio.sleep(PIECE_S / PACE)
        if number == len(audio) // 3:
            await connection.finalize()
            await asyncio.to_thread(heard.are_final.wait, 20)
    await asyncio.sleep(1)
    await connection.send(json.dumps({"type": "CloseStream"}))
    await asyncio.to_thread(heard.is_over.wait, 20)
    await connection.finish()
    return True, heard


url, path, key, kind = sys.argv[1:]
has_started, heard = synchronous(url, path, key) if kind == "sync" else asyncio.run(asynchronous(url, path, key))
print(json.dumps({"has_started": has_started, "messages": heard.messages}))
