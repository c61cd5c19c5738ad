"""People who speak: real speech at its own pace through clients that resume, and everything each of them heard, with the time it came."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import DATA
from evaluation.items import read_pcm
from voxrelay.cli.live import LiveCall, Refusal

CHUNK_S = 0.1
PAUSE_S = 0.7  # between two clips
RATE_HZ = 16_000
PATIENCE_S = 120.0
CLIPS = Path("asr") / "librispeech-test-other"


@dataclass(frozen=True, slots=True)
class Voice:
    """What one caller says: mono pcm_s16le at 16 kHz."""

    name: str
    pcm_s16le: bytes

    @property
    def duration_s(self) -> float:
        return len(self.pcm_s16le) / 2 / RATE_HZ


@dataclass
class Heard:
    """Everything one caller received, in order; times are seconds since the run began."""

    voice: str
    began_s: float
    speed: float
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    failure: str = ""
    connections: int = 0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.messages if message["type"] == kind]

    @property
    def session_id(self) -> str:
        """The last one told: a session that came to nothing is begun anew."""
        sessions = self.of("session")
        return str(sessions[-1]["session_id"]) if sessions else ""

    def without_words(self) -> Heard:
        """What figures need. The rest of a night of rounds would fill the memory."""
        finals = [(at, {"type": "final", "end": message["end"]}) for at, message in self.messages if message["type"] == "final"]
        return Heard(self.voice, self.began_s, self.speed, finals, self.failure, self.connections)

    @property
    def waits_s(self) -> list[tuple[float, float]]:
        """When each final came, and how long after its last word was spoken."""
        return [(at, at - self.began_s - message["end"] / self.speed) for at, message in self.messages if message["type"] == "final"]


def voices(count: int, duration_s: float, data: Path = DATA) -> list[Voice]:
    """Different stretches of real read speech, its readers by turns. Raises ``FileNotFoundError`` where there is none."""
    paths = sorted((data / CLIPS).glob("*.flac"), key=lambda path: (path.stem.rpartition("-")[2], path.name))  # reader-chapter-number
    if not paths:
        raise FileNotFoundError(f"There is no speech in {data / CLIPS}: say with --data where it is.")
    pause = bytes(int(PAUSE_S * RATE_HZ) * 2)
    found = []
    for number in range(count):
        pcm = bytearray()
        for path in itertools.islice(itertools.cycle(paths), number * 3 % len(paths), None):
            clip, rate_hz = read_pcm(path)
            if rate_hz != RATE_HZ:
                raise ValueError(f"{path.name} has {rate_hz} Hz, not {RATE_HZ}.")
            pcm += clip + pause
            if len(pcm) >= duration_s * RATE_HZ * 2:
                break
        found.append(Voice(f"voice {number + 1}", bytes(pcm[: int(duration_s * RATE_HZ) * 2])))
    return found


async def speak(voice: Voice, addresses: Callable[[], Sequence[str]], chance: random.Random, begun_at: float, speed: float = 1.0) -> Heard:
    """Until ``closed``, an error, or nobody answers any more; the last two are its ``failure``."""
    call = LiveCall(lambda: chance.choice(addresses()), RATE_HZ, patience_s=PATIENCE_S)
    heard = Heard(voice.name, time.monotonic() - begun_at, speed)

    async def feed() -> None:
        size = int(RATE_HZ * CHUNK_S) * 2
        started = time.monotonic()
        for number, at in enumerate(range(0, len(voice.pcm_s16le), size)):
            await asyncio.sleep(max(0.0, started + number * CHUNK_S / speed - time.monotonic()))
            await call.feed(voice.pcm_s16le[at : at + size])
        call.finish()

    feeding = asyncio.create_task(feed())
    try:
        async for message in call.messages():
            heard.messages.append((time.monotonic() - begun_at, message))
        if heard.of("error"):
            heard.failure = str(heard.of("error")[0]["error"])
        elif not heard.of("closed"):
            heard.failure = "the session was never closed"
    except (OSError, TimeoutError, Refusal) as error:
        heard.failure = f"{type(error).__name__}: {error}"
    finally:
        heard.connections = call.connections
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return heard
