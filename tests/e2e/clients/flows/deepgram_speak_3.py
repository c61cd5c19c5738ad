"""deepgram-sdk 3.x speaks: URL TEXT. REST into memory and a file, and the socket; audio is printed as base64."""

from __future__ import annotations

import base64
import json
import sys
import threading
from pathlib import Path
from typing import Any

from deepgram import DeepgramClient, DeepgramClientOptions, SpeakOptions, SpeakWebSocketEvents, SpeakWSOptions

URL, TEXT = sys.argv[1:3]


def text_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def live(client: DeepgramClient) -> dict[str, Any]:
    audio, messages, is_flushed, is_cleared = bytearray(), [], threading.Event(), threading.Event()

    def on_audio(_socket: Any, data: bytes, **_: Any) -> None:
        audio.extend(data)

    def on_metadata(_socket: Any, metadata: Any, **_: Any) -> None:
        messages.append(metadata.to_dict())

    def on_flushed(_socket: Any, flushed: Any, **_: Any) -> None:
        messages.append(flushed.to_dict())
        is_flushed.set()

    def on_cleared(_socket: Any, cleared: Any, **_: Any) -> None:
        messages.append(cleared.to_dict())
        is_cleared.set()

    socket = client.speak.websocket.v("1")
    socket.on(SpeakWebSocketEvents.AudioData, on_audio)
    socket.on(SpeakWebSocketEvents.Metadata, on_metadata)
    socket.on(SpeakWebSocketEvents.Flushed, on_flushed)
    socket.on(SpeakWebSocketEvents.Cleared, on_cleared)
    if not socket.start(SpeakWSOptions(model="aura-asteria-en", encoding="linear16", sample_rate=16000)):
        raise SystemExit("the socket did not open")
    socket.send_text(TEXT)
    socket.flush()
    is_flushed.wait(30)
    socket.clear()
    is_cleared.wait(30)
    socket.finish()
    return {"audio": text_of(bytes(audio)), "messages": messages}


if __name__ == "__main__":
    client = DeepgramClient("any", DeepgramClientOptions(url=URL))
    options = SpeakOptions(model="aura-asteria-en", encoding="linear16", container="wav", sample_rate=16000)
    kept = client.speak.rest.v("1").stream_memory({"text": TEXT}, options)
    client.speak.rest.v("1").save("spoken.mp3", {"text": TEXT}, SpeakOptions(model="aura-luna-en", encoding="mp3"))
    found = {
        "memory": text_of(kept.stream_memory.getvalue()),
        "headers": {"request_id": kept.request_id, "model_name": kept.model_name, "characters": kept.characters, "type": kept.content_type},
        "file": text_of(Path("spoken.mp3").read_bytes()),
        "live": live(client),
    }
    print(json.dumps(found))
