"""openai 3.x speaks: URL TEXT. Every format, as a stream, as events, with what is refused; audio is printed as base64."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from openai import BadRequestError, OpenAI

URL, TEXT = sys.argv[1:3]
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")


def text_of(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def refusal(client: OpenAI) -> dict[str, Any]:
    try:
        client.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)
    except BadRequestError as error:
        return {"param": error.param, "code": error.code}
    return {}


if __name__ == "__main__":
    client = OpenAI(base_url=f"{URL}/v1", api_key="any")
    speech = client.audio.speech
    asked = {"input": TEXT, "voice": "alloy"}
    formats = {name: text_of(speech.create(model="tts-1", response_format=name, **asked).content) for name in FORMATS}
    with speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice={"id": "coral"}, input=TEXT, instructions="Be kind.", speed=1.0
    ) as answer:
        streamed, voice = [len(piece) for piece in answer.iter_bytes(1024)], answer.headers["x-voice"]
    with speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=TEXT, response_format="pcm", stream_format="sse"
    ) as answer:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    found = {
        "formats": formats,
        "streamed": sum(streamed),
        "voice": voice,
        "events": [event["type"] for event in events],
        "sse": text_of(b"".join(base64.b64decode(event["audio"]) for event in events if "audio" in event)),
        "usage": events[-1]["usage"],
        "refusal": refusal(client),
    }
    print(json.dumps(found))
