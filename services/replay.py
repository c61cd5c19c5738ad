"""``voxrelay replay``: another model over the audio that the log still holds, as fast as it goes, and what it would have said otherwise.

The real stage reads ``audio.denoised`` with a consumer of its own: in no group, without commits, and it publishes nothing. So live traffic is
not touched, but for the machine's time. Sessions that opened within the span are compared, utterance by utterance the same audio.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.transcribe.compose import model as load_model
from services.transcribe.settings import TranscribeSettings
from services.transcribe.stage import TranscribeStage
from voxrelay import codec
from voxrelay.audio import SAMPLE_RATE_HZ
from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.cli.console import print_json, print_table
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import AudioDenoised, Event, Lane, SegmentTranscribed, SessionConfigured, SessionOpened
from voxrelay.models.slot import EngineSlot
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import AUDIO_DENOISED, SEGMENT_TRANSCRIBED, Topic

BATCH = 500
EMPTY_POLLS = 100  # of 0.1 s each, before a log that should have more to say is given up
WIDTH = 200

Texts = dict[str, dict[str, str]]  # by session and utterance


@dataclass(frozen=True, slots=True)
class Difference:
    """One session: word errors of the replayed text against the one that was published, both in small letters without punctuation."""

    session_id: str
    utterances: int
    words_published: int
    words_replayed: int
    errors: int

    @property
    def wer(self) -> float:
        """Of the published words; with none of these, 0 when nothing is said now either, else 1."""
        return self.errors / self.words_published if self.words_published else float(self.words_replayed > 0)


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
    for records in _records(bus, AUDIO_DENOISED, lane, begin_s, end_s):
        batch = []
        for event in _events(records):
            if event.sequence and event.sequence <= seen.get((event.session_id, event.producer), 0):
                continue  # published again by a replay of its own
            seen[event.session_id, event.producer] = event.sequence
            batch.append(_without_interims(event))
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


def published(bus: Bus, lane: Lane, begin_s: float, sessions: Mapping[str, Any]) -> Texts:
    """What was published of these sessions: of each utterance the first final, as every reader has it. Raises ``Unavailable``."""
    texts: Texts = {session_id: {} for session_id in sessions}
    for records in _records(bus, SEGMENT_TRANSCRIBED, lane, begin_s, None):
        for event in _events(records):
            if event.session_id in texts and isinstance(event.payload, SegmentTranscribed) and event.payload.is_final:
                texts[event.session_id].setdefault(event.payload.utterance_id, event.payload.text)
    return texts


def differences(before: Texts, after: Texts) -> list[Difference]:
    """By session, in their order: over the utterances that both have."""
    found = []
    for session_id, texts in after.items():
        common = [utterance for utterance in texts if utterance in before.get(session_id, {})]
        if common:
            published_words = [word for utterance in common for word in _words(before[session_id][utterance])]
            replayed_words = [word for utterance in common for word in _words(texts[utterance])]
            errors = sum(_errors(_words(before[session_id][utterance]), _words(texts[utterance])) for utterance in common)
            found.append(Difference(session_id, len(common), len(published_words), len(replayed_words), errors))
    return found


def _errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    if not reference or not hypothesis:
        return max(len(reference), len(hypothesis))
    counted = import_module("jiwer").process_words(" ".join(reference), " ".join(hypothesis))
    return int(counted.substitutions + counted.deletions + counted.insertions)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _without_interims(event: Event) -> Event:
    payload = event.payload
    if isinstance(payload, SessionOpened | SessionConfigured):
        return replace(event, payload=replace(payload, config=replace(payload.config, interim_results=False)))
    return event


def _events(records: Sequence[Record]) -> Iterator[Event]:
    for record in records:
        try:
            yield codec.decode(record.key, record.value, record.headers)
        except Poison:
            continue  # the live stage has put it to the dead letters


def _records(bus: Bus, topic: Topic, lane: Lane, begin_s: float, end_s: float | None) -> Iterator[list[Record]]:
    """The records of a span, by batches, in order within each partition; without ``end_s`` up to what is there now."""
    name = topic.name(lane)
    sources = [TopicPartition(name, number) for number in range(bus.partitions(name))]
    starts = bus.offsets_at(sources, begin_s)
    newest = {source: end for source, (_, end) in bus.offsets(sources).items()}
    ends = newest if end_s is None else {source: min(offset, newest[source]) for source, offset in bus.offsets_at(sources, end_s).items()}
    at = dict(starts)
    waiting = {source for source in sources if at[source] < ends[source]}
    if not waiting:
        return
    consumer = bus.read({source: starts[source] for source in waiting})
    empty = 0
    try:
        while waiting:
            records = consumer.poll(BATCH, 0.1)
            empty = 0 if records else empty + 1
            if empty > EMPTY_POLLS:
                raise Unavailable("The log stopped answering in the middle of the span.")
            at.update({record.source: record.offset + 1 for record in records})
            waiting = {source for source in waiting if at[source] < ends[source]}
            yield [record for record in records if record.offset < ends[record.source]]
    finally:
        consumer.close()


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
    try:
        import_module("jiwer")
    except ModuleNotFoundError:
        raise Unfinished("Comparing texts needs the library jiwer: pip install 'voxrelay[evaluate]'.") from None
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
    table = Table("session", "utterances", "words published", "words replayed", "WER between them", box=None)
    for one in found:
        table.add_row(one.session_id, str(one.utterances), str(one.words_published), str(one.words_replayed), f"{one.wer:.1%}")
    print_table(table)
    total = _total(found)
    speed = done.audio_seconds / done.elapsed_s if done.elapsed_s else 0.0
    summary = f"{model} ({done.engine}): {len(found)} sessions, WER {total.wer:.1%} between the two"
    print(f"{summary}; {done.audio_seconds:.0f} s of audio in {done.elapsed_s:.1f} s, {speed:.1f} times real time.", file=sys.stderr)


def _total(found: Sequence[Difference]) -> Difference:
    fields = ("utterances", "words_published", "words_replayed", "errors")
    return Difference("", *(sum(getattr(one, name) for one in found) for name in fields))


def main() -> None:
    arguments = _arguments()
    try:
        done, found = _run(arguments)
    except (Unfinished, EngineUnusable, Unavailable) as error:
        print(f"voxrelay: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if arguments.as_json:
        rows = [{**asdict(one), "wer": round(one.wer, 4)} for one in found]
        what = {"model": arguments.model, "engine": done.engine, "audio_seconds": round(done.audio_seconds, 2), "elapsed_s": round(done.elapsed_s, 2)}
        print_json({**what, "wer": round(_total(found).wer, 4), "sessions": rows})
    else:
        _print(arguments.model, done, found)


if __name__ == "__main__":
    main()
