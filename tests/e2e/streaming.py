"""A live client as a user would write it: any WAV file through the native WebSocket, in real time or faster."""

from __future__ import annotations

import asyncio
import json
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

CHUNK_S = 0.1


@dataclass
class Heard:
    """Everything one connection received, in order."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def session_id(self) -> str:
        return str(self.of("session")[0]["session_id"])

    @property
    def text(self) -> str:
        return " ".join(message["transcript"] for message in self.of("final"))

    @property
    def finals(self) -> list[dict[str, Any]]:
        """Finals without what differs between two runs of the same audio: the wall clock."""
        return [{name: value for name, value in message.items() if name != "timestamp"} for message in self.of("final")]


def pcm_of(path: Path) -> tuple[bytes, int]:
    """Mono pcm_s16le of a WAV or FLAC file and its rate."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as file:
            assert file.getnchannels() == 1
            assert file.getsampwidth() == 2
            return file.readframes(file.getnframes()), file.getframerate()
    import av

    with av.open(str(path)) as container:
        rate_hz = container.streams.audio[0].rate
        resampler = av.AudioResampler("s16", "mono", rate_hz)
        pieces = [piece.to_ndarray().tobytes() for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return b"".join(pieces), rate_hz


async def stream(url: str, pcm_s16le: bytes, sample_rate_hz: int, speed: float = 1.0, **parameters: str) -> Heard:
    """Until the platform says closed. Raises when it closes without; an error before the audio was over is raised with its words."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    heard = Heard()
    address = url.replace("http", "ws", 1) + "/ws/v1/transcribe" + (f"?{query}" if query else "")
    async with connect(address, compression=None, max_size=2**24, open_timeout=30) as connection:
        await connection.send(json.dumps({"type": "configure", "config": {"encoding": "linear16", "sample_rate": sample_rate_hz}}))

        async def send() -> None:
            size = int(sample_rate_hz * CHUNK_S) * 2
            started = asyncio.get_running_loop().time()
            for number, at in enumerate(range(0, len(pcm_s16le), size)):
                await asyncio.sleep(max(0.0, started + number * CHUNK_S / speed - asyncio.get_running_loop().time()))
                await connection.send(pcm_s16le[at : at + size])
            await connection.send(json.dumps({"type": "close_stream"}))

        sending = asyncio.create_task(send())
        try:
            async for text in connection:
                heard.messages.append(json.loads(text))
                if heard.messages[-1]["type"] in ("closed", "error"):
                    break
            if not heard.of("error"):
                await sending
        finally:  # a connection that broke has broken for the sender, too
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return heard
