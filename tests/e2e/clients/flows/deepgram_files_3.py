"""deepgram-sdk 3.x and 4.x, files, tokens and models: URL WAV KEY. Prints what the SDK's own objects hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deepgram import DeepgramClient, DeepgramClientOptions, PrerecordedOptions

url, path, key = sys.argv[1:]
client = DeepgramClient(key, DeepgramClientOptions(url=url))
options = PrerecordedOptions(
    model="nova-2",
    smart_format=True,
    diarize=True,
    paragraphs=True,
    utterances=True,
    detect_language=True,
    search=["you know", "zebra"],
    keywords=["telephone:2"],
    tag=["a", "b"],
)


def refusal() -> Any:
    try:
        client.listen.rest.v("1").transcribe_url({"url": "http://127.0.0.1:1/call.wav"}, PrerecordedOptions(model="nova-2"))
    except Exception as error:
        return {"class": type(error).__name__, "status": getattr(error, "status", None), "text": str(error)}
    return None


def plain(value: Any) -> Any:
    return json.loads(value.to_json())


print(
    json.dumps(
        {
            "file": plain(client.listen.rest.v("1").transcribe_file({"buffer": Path(path).read_bytes()}, options)),
            "refused_url": refusal(),
            "expires_in": client.auth.v("1").grant_token().expires_in,
            "models": plain(client.manage.v("1").get_models()),
        }
    )
)
