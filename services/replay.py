"""``voxrelay replay``: another model over the audio that the log still holds, as fast as it goes, and what it would have said otherwise.

The real stage reads ``audio.denoised`` with a consumer of its own: in no group, without commits, and it publishes nothing. So live traffic is
not touched, but for the machine's time. Sessions that opened within the span are compared, utterance by utterance the same audio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.transcribe.compose import model as load_model
from services.transcribe.settings import TranscribeSettings
from services.transcribe.stage import TranscribeStage
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.bus.api import Bus
from voxrelay.cli.console import print_json
from voxrelay.cli.differences import as_rows, print_differences, summary
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.events import AudioDenoised, Lane, SegmentTranscribed, SessionOpened
from voxrelay.models.comparison import Difference, Texts, differences, events, needs_jiwer, published, span
from voxrelay.models.shadow import without_interims
from voxrelay.models.slot import EngineSlot
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import AUDIO_DENOISED


@dataclass(slots=True)
class Replayed:
    texts: Texts = field(default_factory=dict)
    engine: str = ""
    audio_seconds: float = 0.0
    elapsed_s: float = 0.0


class Unfinished(Exception):
    """It cannot be replayed; the message says what to do."""


def replay(bus: Bus, stage: TranscribeStage, lane: Lane, begin_s: float, end_s: float) -> Replayed:
    """Every session that opened between the two wall-clock times, through ``stage``. Raises ``Unavailable``."""
    done, started = Replayed(), time.monotonic()
    seen: dict[tuple[str, str], int] = {}
    for records in span(bus, AUDIO_DENOISED, lane, begin_s, end_s):
        batch = []
        for event in events(records):
            if event.sequence and event.sequence <= seen.get((event.session_id, event.producer), 0):
                continue  # published again by a replay of its own
            seen[event.session_id, event.producer] = event.sequence
            batch.append(without_interims(event))
            if isinstance(event.payload, SessionOpened):
                done.texts[event.session_id] = {}
            elif isinstance(event.payload, AudioDenoised) and event.session_id in done.texts:
                done.audio_seconds += len(event.payload.pcm_s16le) / 2 / SAMPLE_RATE_HZ
        for result in stage.process(batch):
            if isinstance(result.payload, SegmentTranscribed) and result.payload.is_final:
                done.texts[result.session_id][result.payload.utterance_id] = result.payload.text
                done.engine = f"{result.payload.engine.name} {result.payload.engine.version}"
    done.elapsed_s = time.monotonic() - started
    return done


# --- the command ---------------------------------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="voxrelay replay")
    parser.add_argument("--model", required=True)
    parser.add_argument("--from", dest="begin_s", type=float, required=True)
    parser.add_argument("--to", dest="end_s", type=float, required=True)
    parser.add_argument("--lane", choices=["live", "bulk"], default="live")
    parser.add_argument("--json", dest="as_json", action="store_true")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> tuple[Replayed, list[Difference]]:
    platform = load_settings(PlatformSettings)
    if not platform.kafka_bootstrap:
        raise Unfinished("VOXRELAY_KAFKA_BOOTSTRAP is not set: only a broker keeps the audio to be replayed.")
    needs_jiwer()
    from voxrelay.bus.kafka import connect

    bus = connect(platform)
    slot = EngineSlot("transcribe", load_model(platform, load_settings(TranscribeSettings), arguments.model))
    columns = (SpinnerColumn(), TextColumn("replaying with {task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            progress.add_task(arguments.model, total=None)
            done = replay(bus, TranscribeStage(slot, is_urgent=False), arguments.lane, arguments.begin_s, arguments.end_s)
            return done, differences(published(bus, arguments.lane, arguments.begin_s, done.texts), done.texts)
    finally:
        slot.close()


def _print(model: str, done: Replayed, found: Sequence[Difference]) -> None:
    print_differences(found, "replayed")
    speed = done.audio_seconds / done.elapsed_s if done.elapsed_s else 0.0
    what = f"{model} ({done.engine}): {summary(found)}"
    print(f"{what}; {done.audio_seconds:.0f} s of audio in {done.elapsed_s:.1f} s, {speed:.1f} times real time.", file=sys.stderr)


def main() -> None:
    arguments = _arguments()
    try:
        done, found = _run(arguments)
    except (Unfinished, EngineUnusable, Unavailable) as error:
        print(f"voxrelay: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if arguments.as_json:
        what = {"model": arguments.model, "engine": done.engine, "audio_seconds": round(done.audio_seconds, 2), "elapsed_s": round(done.elapsed_s, 2)}
        print_json(what | as_rows(found))
    else:
        _print(arguments.model, done, found)


if __name__ == "__main__":
    main()
