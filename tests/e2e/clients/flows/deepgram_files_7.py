"""deepgram-sdk 7.x, files, tokens and models: URL WAV KEY. Prints what the SDK's own objects hold."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment

url, path, key = sys.argv[1:]
socket_url = url.replace("http", "ws", 1)
environment = DeepgramClientEnvironment(base=url, production=socket_url, agent=socket_url, agent_rest=url)
client = DeepgramClient(api_key=key, environment=environment)
audio = Path(path).read_bytes()
options: dict[str, Any] = {
    "model": "nova-3",
    "smart_format": True,
    "diarize": True,
    "paragraphs": True,
    "utterances": True,
    "detect_language": True,
    "search": ["you know", "zebra"],
    "keyterm": ["telephone"],
    "tag": ["a", "b"],
    "sentiment": True,
}


def plain(value: Any) -> Any:
    return json.loads(value.json())


async def asynchronous(token: str) -> Any:
    """With the granted token, as a browser's server would pass it on."""
    return plain(
        await AsyncDeepgramClient(access_token=token, environment=environment).listen.v1.media.transcribe_file(request=audio, model="nova-3")
    )


def refusal(**asked: Any) -> Any:
    try:
        client.listen.v1.media.transcribe_url(**asked, request_options={"max_retries": 0})
    except ApiError as error:
        return {"class": type(error).__name__, "status": error.status_code, "body": error.body}
    return None


granted = client.auth.v1.tokens.grant(ttl_seconds=60)
models = client.manage.v1.models.list()
print(
    json.dumps(
        {
            "file": plain(client.listen.v1.media.transcribe_file(request=audio, **options)),
            "async": asyncio.run(asynchronous(granted.access_token)),
            "refused_url": refusal(url="http://127.0.0.1:1/call.wav"),
            "refused_parameter": refusal(url="https://example.org/call.wav", summarize="v2"),
            "expires_in": granted.expires_in,
            "models": plain(models),
            "model": plain(client.manage.v1.models.get(model_id=models.stt[0].uuid_)),
        }
    )
)
