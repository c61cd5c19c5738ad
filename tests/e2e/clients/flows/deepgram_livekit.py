"""LiveKit's Deepgram plug-in, live: URL WAV KEY. Its stream is driven as an agent drives it: frames pushed, flushed, events read."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectOptions, APIStatusError
from livekit.plugins import deepgram
from speech import PACE, PIECE_S, pieces, rate_of


def shown(event: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"event": event.type.value}
    if event.alternatives:
        best = event.alternatives[0]
        fields |= {"text": best.text, "speaker": best.speaker_id, "start": best.start_time, "end": best.end_time, "words": len(best.words or [])}
    return fields


async def main(url: str, path: str, key: str) -> dict[str, Any]:
    rate_hz = rate_of(path)
    async with aiohttp.ClientSession() as http:
        recogniser = deepgram.STT(
            api_key=key,
            base_url=f"{url}/v1/listen",
            http_session=http,
            sample_rate=rate_hz,
            endpointing_ms=300,
            enable_diarization=True,
            smart_format=True,
            utterance_end_ms=1000,
            keyterm=["voxrelay"],
            tags=["agent"],
        )
        stream = recogniser.stream(conn_options=APIConnectOptions(max_retry=0))
        events: list[dict[str, Any]] = []

        async def read() -> None:
            async for event in stream:
                events.append(shown(event))

        reading = asyncio.create_task(read())
        audio = list(pieces(path))
        for number, piece in enumerate(audio):
            stream.push_frame(rtc.AudioFrame(piece, rate_hz, 1, len(piece) // 2))
            await asyncio.sleep(PIECE_S / PACE)
            if reading.done():
                break
            if number == len(audio) // 3:
                stream.flush()  # sends Finalize
        try:
            if not reading.done():
                stream.end_input()
            await asyncio.wait_for(reading, 30)
        except APIStatusError as error:
            return {"has_started": False, "status": error.status_code, "messages": events}
        await stream.aclose()
    return {"has_started": True, "messages": events}


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
