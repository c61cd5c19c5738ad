"""Audio to stream: a file, decoded here so that it can be paced, or the microphone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxrelay.cli.console import Failure

CHUNK_S = 0.1
MOST_WAITING = 3000  # chunks of a microphone that nobody takes: five minutes


@dataclass(frozen=True, slots=True)
class Source:
    """Mono pcm_s16le in chunks of 100 ms; ``duration_s`` is 0 when nobody knows it."""

    sample_rate_hz: int
    duration_s: float
    chunks: Iterator[bytes]


def file_source(path: Path) -> Source:
    """Any file that libav decodes. Raises ``Failure`` when there is no audio in it."""
    import av

    if not path.is_file():
        raise Failure(f"There is no file {path}.", 2)
    try:
        container = av.open(str(path))
        stream = container.streams.audio[0]
    except (av.error.FFmpegError, IndexError):
        raise Failure(f"{path} holds no audio that can be decoded.", 1) from None
    rate_hz = min(max(stream.rate or 16_000, 8_000), 48_000)
    duration_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else (container.duration or 0) / 1e6

    def chunks() -> Iterator[bytes]:
        resampler = av.AudioResampler("s16", "mono", rate_hz)
        size = int(rate_hz * CHUNK_S) * 2
        held = bytearray()
        with container:
            for frame in container.decode(stream):
                for piece in resampler.resample(frame):
                    held += piece.to_ndarray().tobytes()
                while len(held) >= size:
                    yield bytes(held[:size])
                    del held[:size]
            for piece in resampler.resample(None):
                held += piece.to_ndarray().tobytes()
        while held:
            yield bytes(held[:size])
            del held[:size]

    return Source(rate_hz, duration_s, chunks())


def microphone_source() -> Source:
    """The default input device until Ctrl-C. Raises ``Failure`` when the library or a device is missing, or nobody takes the sound."""
    try:
        import sounddevice
    except (ImportError, OSError):
        raise Failure("The microphone needs the library sounddevice: pip install 'voxrelay[microphone]' (and PortAudio).", 2) from None
    rate_hz = 16_000
    recorded: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
    is_overrun = threading.Event()

    def record(data: Any, *_: Any) -> None:
        try:
            recorded.put_nowait(bytes(data))
        except queue.Full:
            is_overrun.set()

    def chunks() -> Iterator[bytes]:
        try:
            stream = sounddevice.RawInputStream(rate_hz, int(rate_hz * CHUNK_S), channels=1, dtype="int16", callback=record)
        except sounddevice.PortAudioError as error:
            raise Failure(f"No microphone can be opened: {error}.") from None
        with stream:
            while not is_overrun.is_set():
                yield recorded.get()
        raise Failure("The platform took no sound for five minutes, and what was said since is lost: see whether it is overloaded, then begin again.")

    return Source(rate_hz, 0.0, chunks())
