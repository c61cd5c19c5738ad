"""People at the platform for a set time: live calls, a file now and then, texts to be spoken, and calls that are refused."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from dataclasses import dataclass, field

import httpx

from voxrelay.cli.live import LiveCall

TEXT = "Good morning. I would like to know when the next train leaves. Thank you, that is very kind. Good bye."
CHUNK_S = 0.1
PAUSE_S = 1.5
TURNS = 4  # finals come between them, while the call goes on
BACK_OFF_S = 3.0
PATIENCE_S = 120.0


@dataclass
class Done:
    """What the load was, in the end."""

    calls: int = 0
    finals: int = 0
    files: int = 0
    texts: int = 0
    refused: int = 0
    turned_away: int = 0  # as the platform was full
    failures: list[str] = field(default_factory=list)


async def speech(url: str) -> tuple[bytes, int]:
    """The platform's own voice, with a pause behind it: mono pcm_s16le and its rate."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        answer = (await client.post(f"{url}/v1/speak", json={"text": TEXT, "format": "wav", "sample_rate": 16000})).raise_for_status()
    with wave.open(io.BytesIO(answer.content)) as file:
        return file.readframes(file.getnframes()) + bytes(int(PAUSE_S * file.getframerate()) * 2), file.getframerate()


async def call(url: str, pcm: bytes, rate_hz: int, done: Done) -> None:
    """One caller in real time, until the platform says closed."""
    live = LiveCall(url.replace("http", "ws", 1), rate_hz, patience_s=PATIENCE_S)

    async def talk() -> None:
        begun, size = time.monotonic(), int(rate_hz * CHUNK_S) * 2
        for number, at in enumerate(range(0, len(pcm), size)):
            await asyncio.sleep(max(0.0, begun + number * CHUNK_S - time.monotonic()))
            await live.feed(pcm[at : at + size])
        live.finish()

    talking = asyncio.create_task(talk())
    last = ""
    try:
        async for message in live.messages():
            last = message["type"]
            done.finals += last == "final"
            if last == "error" and message["error"]["code"] == "OVERLOADED":
                done.turned_away += 1
            elif last == "error":
                done.failures.append(message["error"]["code"])
    except (OSError, TimeoutError) as error:
        done.failures.append(type(error).__name__)
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    done.calls += last == "closed"
    if last != "closed":
        await asyncio.sleep(BACK_OFF_S)


async def run(url: str, callers: int, seconds: float) -> Done:
    """``callers`` at a time, for so long; every one of them is heard out."""
    done = Done()
    pcm, rate_hz = await speech(url)
    until = time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < until:
            await call(url, pcm * TURNS, rate_hz, done)

    async def others() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            while time.monotonic() < until:
                file = io.BytesIO()
                with wave.open(file, "wb") as written:
                    written.setparams((1, 2, rate_hz, 0, "NONE", ""))
                    written.writeframes(pcm)
                done.files += (await client.post("/api/process", content=file.getvalue())).is_success
                done.texts += (await client.post("/v1/speak", json={"text": "And a word in between."})).is_success
                done.refused += (await client.post("/v1/speak", json={"text": "Hello.", "voice": "nobody"})).status_code == 400

    await asyncio.gather(others(), *(caller() for _ in range(callers)))
    return done
