"""How long the bundled engines take over an hour of recorded speech, and how much of that their stages spend inside them.

    python -m benchmarks.bulk [--minutes 60] [--files 12] [--at-once 4] [--data FOLDER]

The embedded platform, ``POST /api/process``, real speech of the evaluation data strung together into files of equal length. A stage that is never
without work should be inside its engine: its share is the engine's time, by the platform's own counter, of the whole.
"""

from __future__ import annotations

import argparse
import io
import itertools
import re
import time
import urllib.request
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.latency import embedded
from benchmarks.report import DATA, print_table, write_json
from evaluation.items import read_pcm

RATE_HZ = 16_000
SPEECH = ("asr/librispeech-test-other", "diarization/ami-debug")
ENGINE = re.compile(r'^voxrelay_engine_seconds_sum\{stage="([^"]+)"\} ([0-9.e+-]+)$', re.MULTILINE)
PATIENCE_S = 3600.0


def strung_together(folder: Path, seconds: float) -> Iterator[bytes]:
    """WAV files of this length, of speech that repeats only when all has been used."""
    clips = [clip for name in SPEECH for clip in sorted((folder / name).iterdir()) if clip.suffix in (".flac", ".wav")]
    if not clips:
        raise SystemExit(f"There is no speech in {folder}: say where with --data.")
    held = bytearray()
    for clip in itertools.cycle(clips):
        pcm, rate_hz = read_pcm(clip)
        if rate_hz != RATE_HZ:
            continue
        held += pcm
        while len(held) >= int(seconds * RATE_HZ) * 2:
            size = int(seconds * RATE_HZ) * 2
            yield as_wav(bytes(held[:size]))
            del held[:size]


def as_wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE_HZ)
        written.writeframes(pcm)
    return file.getvalue()


def engine_seconds(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310  # our own platform
        return {stage: float(value) for stage, value in ENGINE.findall(answer.read().decode())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation speech")
    arguments = parser.parse_args()
    files = list(itertools.islice(strung_together(arguments.data, arguments.minutes * 60 / arguments.files), arguments.files))

    def process(wav: bytes) -> int:
        answer = httpx.post(f"{url}/api/process", content=wav, headers={"content-type": "audio/wav"}, timeout=PATIENCE_S)
        answer.raise_for_status()
        print(f"{time.perf_counter() - started:7.1f} s  a file of {arguments.minutes / arguments.files:.1f} minutes is done", flush=True)
        return len(answer.json()["utterances"])

    with embedded() as url:
        process_began = engine_seconds(url)
        started = time.perf_counter()
        with ThreadPoolExecutor(arguments.at_once) as callers:
            utterances = sum(callers.map(process, files))
        took_s = time.perf_counter() - started
        engines = {stage: value - process_began.get(stage, 0.0) for stage, value in engine_seconds(url).items()}
    audio_s = arguments.minutes * 60
    pace = audio_s / took_s
    print_table(
        f"{arguments.minutes:.0f} minutes of speech in {took_s:.0f} s, {pace:.1f} times as fast as it was spoken: {utterances} utterances",
        ("stage", "inside its engine s", "share of the whole"),
        [(stage, round(value, 1), f"{value / took_s:.0%}") for stage, value in sorted(engines.items(), key=lambda item: -item[1])],
    )
    write_json("bulk", {"audio_s": audio_s, "took_s": round(took_s, 1), "utterances": utterances, "engine_s": engines})


if __name__ == "__main__":
    main()
