"""deepgram-sdk 7.x speaks: URL TEXT. REST in several encodings, the socket sync and async; audio is printed as base64."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text

URL, TEXT = sys.argv[1:3]
SOCKET_URL = URL.replace("http", "ws", 1)
ENVIRONMENT = DeepgramClientEnvironment(base=URL, production=SOCKET_URL, agent=SOCKET_URL, agent_rest=URL)
MODEL = "aura-asteria-en"
RESTS: dict[str, dict[str, Any]] = {
    "wav": {"encoding": "linear16", "container": "wav", "sample_rate": 16000},
    "mp3": {"encoding": "mp3", "bit_rate": 48000, "speed": 1.0, "tag": ["a", "b"]},
    "opus": {"encoding": "opus", "container": "ogg"},
    "flac": {"encoding": "flac", "sample_rate": 16000},
    "aac": {"encoding": "aac"},
    "mulaw": {"encoding": "mulaw", "container": "wav"},
}


def text_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


class Heard:
    def __init__(self) -> None:
        self.audio, self.messages, self.flushed = b"", [], threading.Event()

    def take(self, message: Any) -> None:
        if isinstance(message, bytes):
            self.audio += message
            return
        self.messages.append(json.loads(message.json()))
        if message.type == "Flushed":
            self.flushed.set()


def live(client: DeepgramClient) -> dict[str, Any]:
    heard = Heard()
    with client.speak.v1.connect(model=MODEL, encoding="linear16", sample_rate=16000) as socket:
        socket.on(EventType.MESSAGE, heard.take)
        listening = threading.Thread(target=socket.start_listening, daemon=True)
        listening.start()
        for word in TEXT.split(" "):
            socket.send_text(SpeakV1Text(text=word + " "))
        socket.send_flush()
        heard.flushed.wait(30)
        socket.send_clear()
        socket.send_close()
        listening.join(20)
    return {"audio": text_of(heard.audio), "messages": heard.messages}


async def live_async(client: AsyncDeepgramClient) -> dict[str, Any]:
    heard = Heard()
    async with client.speak.v1.connect(model="aura-2-draco-en", encoding="mulaw", sample_rate=8000, speed=1.2) as socket:
        socket.on(EventType.MESSAGE, heard.take)
        listening = asyncio.create_task(socket.start_listening())
        await socket.send_text(SpeakV1Text(text=TEXT))
        await socket.send_close()
        await asyncio.wait_for(listening, 20)
    return {"bytes": len(heard.audio), "messages": heard.messages}


def refusal(client: DeepgramClient) -> dict[str, Any]:
    try:
        b"".join(client.speak.v1.audio.generate(text=TEXT, model="aura-nobody-en"))
    except ApiError as error:
        return {"class": type(error).__name__, "status": error.status_code, "body": error.body}
    return {}


if __name__ == "__main__":
    client = DeepgramClient(api_key="any", environment=ENVIRONMENT)
    rest = {name: text_of(b"".join(client.speak.v1.audio.generate(text=TEXT, model=MODEL, **asked))) for name, asked in RESTS.items()}
    plain = text_of(b"".join(client.speak.v1.audio.generate(text=TEXT)))
    with client.speak.v1.audio.with_raw_response.generate(text=TEXT, model=MODEL) as answer:
        headers = dict(answer.headers)
    found = {"rest": rest, "plain": plain, "headers": headers, "live": live(client), "refusal": refusal(client)}
    found["async"] = asyncio.run(live_async(AsyncDeepgramClient(api_key="any", environment=ENVIRONMENT)))
    print(json.dumps(found))
