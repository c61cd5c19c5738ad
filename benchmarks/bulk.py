"""How long the bundled engines take over an hour of recorded speech, how much of that their stages spend inside them, and the limit.

    python -m benchmarks.bulk [--minutes 60] [--files 12] [--at-once 4] [--data FOLDER]

The embedded platform, ``POST /api/process``, real speech of the evaluation data strung together into files of equal length. A stage that is never
without work should be inside its engine: by the platform's own counters, the engine's time as a share of the time the stage was at work on a batch,
and of the whole. The limit is the recogniser alone: the same utterances, the same worker processes, nothing else on the machine.
"""

from __future__ import annotations

import argparse
import io
import itertools
import re
import time
import urllib.request
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from benchmarks import alone
from benchmarks.report import DATA, print_table, write_bars, write_json
from evaluation.items import read_pcm
from services.transcribe.compose import configured_transcriber
from services.transcribe.engine import Advance, StreamOptions
from services.transcribe.settings import TranscribeSettings
from voxrelay.settings import PlatformSettings, load_settings

RATE_HZ = 16_000
WAV_HEAD_BYTES = 44
SPEECH = ("asr/librispeech-test-other", "diarization/ami-debug")
ENGINE = re.compile(r'^voxrelay_engine_seconds_sum\{stage="([^"]+)"\} ([0-9.e+-]+)$', re.MULTILINE)
BUSY = re.compile(r'^voxrelay_busy_seconds_total\{lane="bulk",stage="([^"]+)"\} ([0-9.e+-]+)$', re.MULTILINE)
CORES = re.compile(r'^voxrelay_cpu_seconds_total\{part="([^"]+)"\} ([0-9.e+-]+)$', re.MULTILINE)
PATTERNS = {"engine": ENGINE, "busy": BUSY, "cores": CORES}
PATIENCE_S = 3600.0
HOUR_S = 3600.0
Spans = list[tuple[float, float]]  # of a file's utterances, in seconds


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


def counters(url: str) -> dict[str, dict[str, float]]:
    """Seconds by stage inside its engine and at work on a batch, and of processor time by part of the platform."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310  # our own platform
        text = answer.read().decode()
    return {kind: {name: float(value) for name, value in pattern.findall(text)} for kind, pattern in PATTERNS.items()}


def alone_s(files: Sequence[bytes], spans: Sequence[Spans]) -> float:
    """What the recogniser needs for these utterances when it has the machine for itself."""
    transcriber = configured_transcriber(load_settings(PlatformSettings), load_settings(TranscribeSettings))
    work = []
    for wav, found in zip(files, spans, strict=True):
        samples = np.frombuffer(wav, dtype="<i2", offset=WAV_HEAD_BYTES).astype(np.float32) / 32768
        for start_s, end_s in found:
            stream = transcriber.open(StreamOptions(), wants_interims=False, is_urgent=False)
            work.append(Advance(stream, samples[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)], is_last=True))
    try:
        started = time.perf_counter()
        transcriber.advance(work)
        return time.perf_counter() - started
    finally:
        transcriber.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the evaluation speech")
    arguments = parser.parse_args()
    files = list(itertools.islice(strung_together(arguments.data, arguments.minutes * 60 / arguments.files), arguments.files))

    def process(wav: bytes) -> Spans:
        answer = httpx.post(f"{url}/api/process", content=wav, headers={"content-type": "audio/wav"}, timeout=PATIENCE_S)
        answer.raise_for_status()
        print(f"{time.perf_counter() - started:7.1f} s  a file of {arguments.minutes / arguments.files:.1f} minutes is done", flush=True)
        return [(utterance["start"], utterance["end"]) for utterance in answer.json()["utterances"]]

    with alone.embedded() as (url, _):
        before = counters(url)
        started = time.perf_counter()
        with ThreadPoolExecutor(arguments.at_once) as callers:
            spans = list(callers.map(process, files))
        took_s = time.perf_counter() - started
        after = counters(url)
    spent = {kind: {name: value - before[kind].get(name, 0.0) for name, value in found.items()} for kind, found in after.items()}
    recogniser_s = alone_s(files, spans)
    audio_s = arguments.minutes * 60
    utterances = sum(len(found) for found in spans)
    rows = []
    for stage, busy_s in sorted(spent["busy"].items(), key=lambda item: -item[1]):
        inside_s = spent["engine"].get(stage, 0.0)
        if inside_s:
            rows.append([stage, round(busy_s, 1), round(inside_s, 1), f"{inside_s / busy_s:.1%}", f"{inside_s / took_s:.1%}"])
    print_table(
        f"{arguments.minutes:g} minutes of speech in {took_s:.0f} s, {audio_s / took_s:.1f} times as fast as it was spoken: {utterances} utterances",
        ("stage", "at work s", "inside its engine s", "of its work", "of the whole"),
        rows,
    )
    hour, busy, workers = HOUR_S / audio_s / 60, sum(spent["cores"].values()) / took_s, spent["cores"]["workers"] / took_s
    print(f"\nAn hour would take {took_s * hour:.1f} minutes; {busy:.2f} cores were busy, {workers:.2f} of them with workers.")
    print(f"The recogniser alone takes {recogniser_s:.0f} s for the same utterances, {recogniser_s * hour:.1f} minutes an hour.")
    figures = {"audio_s": audio_s, "took_s": round(took_s, 1), "utterances": utterances, "recogniser_alone_s": round(recogniser_s, 1)}
    write_bars("bulk", "s", {row[0]: {"at work": row[1], "inside its engine": row[2]} for row in rows} | {"all": {"at work": took_s}})
    write_json("bulk", figures | {"engine_s": spent["engine"], "busy_s": spent["busy"], "processor_s": spent["cores"]})


if __name__ == "__main__":
    main()
