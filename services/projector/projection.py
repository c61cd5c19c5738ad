"""Results into rows: upserts alone, so that a batch that comes again changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, select, tuple_, update
from sqlalchemy.exc import DataError

from voxrelay.audio import seconds
from voxrelay.clock import steady_time
from voxrelay.errors import Poison
from voxrelay.events import (
    Attribute,
    Event,
    Lane,
    SegmentClassified,
    SegmentDiarized,
    SegmentTranscribed,
    SessionOpened,
    StageFinished,
    SynthesisRequested,
    UtteranceEnded,
    UtteranceStarted,
)
from voxrelay.storage import database
from voxrelay.storage.database import answering, upsert
from voxrelay.storage.deletion import lock_sessions
from voxrelay.telemetry import PROJECTION_SECONDS, ROWS
from voxrelay.topology import stages_to_finish

Result = SegmentTranscribed | SegmentDiarized | SegmentClassified
Row = dict[str, Any]


class ResultProjection:
    """One transaction a batch. ``clock`` gives the wall clock, seconds since the epoch."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = steady_time, lane: Lane = "live") -> None:
        self._engine, self._clock = engine, clock
        self._seconds = PROJECTION_SECONDS.labels(lane)

    def project(self, batch: Sequence[Event]) -> None:
        """Results that are not final are not stored. Topics may be at different places: rows of a session may come before its opening."""
        kept = [event for event in batch if event.payload.is_durable]
        if not kept:
            return
        try:
            with self._seconds.time(), answering(), self._engine.begin() as connection:
                said = self._take_sessions(connection, kept)
                self._keep_utterances(connection, said)
                self._keep_results(connection, said)
                self._keep_syntheses(connection, kept)
                self._complete(connection, kept)
        except DataError as error:  # a NUL in a text, a number out of range: it would be refused for ever
            raise Poison("The database cannot hold a value of this record.") from error

    # --- sessions --------------------------------------------------------------------------------------------------------

    def _take_sessions(self, connection: Connection, events: Sequence[Event]) -> Sequence[Event]:
        """A row for each session in the batch, locked until the batch is stored: processes that write the same session take turns.

        The events of sessions whose text was not deleted: of the others nothing comes back, also when they are read again.
        """
        now = self._clock()
        spoken = {event.session_id for event in events if not isinstance(event.payload, SynthesisRequested)}
        deleted = {session_id for session_id, (is_text_deleted, _) in lock_sessions(connection, sorted(spoken), now).items() if is_text_deleted}
        opened = {
            event.session_id: {
                "session_id": event.session_id,
                "created_at": now,
                "owner": event.payload.config.owner,
                "language": event.payload.config.language,
                "stages": list(event.payload.config.stages),
                "opened_at": event.payload.opened_at,
            }
            for event in events
            if isinstance(event.payload, SessionOpened)
        }
        _write(connection, database.sessions, list(opened.values()), ["owner", "language", "stages", "opened_at"])
        return [event for event in events if event.session_id not in deleted] if deleted else events

    def _complete(self, connection: Connection, events: Sequence[Event]) -> None:
        """A session is complete when all stages it asked for have said that they are done."""
        finishes = {
            (event.session_id, event.payload.stage): {
                "session_id": event.session_id,
                "stage": event.payload.stage,
                "utterances": event.payload.utterances,
                "audio_seconds": event.payload.audio_seconds,
            }
            for event in events
            if isinstance(event.payload, StageFinished)
        }
        _write(connection, database.stage_finishes, list(finishes.values()), ["utterances", "audio_seconds"])
        touched = {event.session_id for event in events if isinstance(event.payload, StageFinished | SessionOpened)}
        if not touched:
            return
        sessions, stages = database.sessions.c, database.stage_finishes.c
        finished: dict[str, dict[str, float]] = defaultdict(dict)
        for row in connection.execute(select(stages.session_id, stages.stage, stages.audio_seconds).where(stages.session_id.in_(touched))):
            finished[row.session_id][row.stage] = row.audio_seconds
        for session_id, asked in connection.execute(select(sessions.session_id, sessions.stages).where(sessions.session_id.in_(touched))).all():
            done = finished[session_id]
            values: Row = {"audio_seconds": max(done.values(), default=0.0)}
            if asked is not None and stages_to_finish(tuple(asked)) <= done.keys():
                values |= {"is_complete": True, "completed_at": func.coalesce(sessions.completed_at, self._clock())}
            connection.execute(update(database.sessions).where(sessions.session_id == session_id).values(**values))

    # --- utterances and results --------------------------------------------------------------------------------------------

    def _keep_utterances(self, connection: Connection, events: Sequence[Event]) -> None:
        started: dict[tuple[str, str], Row] = {}
        ended: dict[tuple[str, str], Row] = {}
        for event in events:
            payload = event.payload
            if not isinstance(payload, UtteranceStarted | UtteranceEnded):
                continue
            key = (event.session_id, payload.utterance_id)
            row = {"session_id": key[0], "utterance_id": key[1], "start_s": seconds(payload.start_sample)}
            if isinstance(payload, UtteranceEnded):
                ended[key] = row | {"end_s": seconds(payload.end_sample), "end_reason": payload.reason, "snr_db": payload.snr_db}
            else:
                started[key] = row
        _write(connection, database.utterances, [row for key, row in started.items() if key not in ended], [])
        _write(connection, database.utterances, list(ended.values()), ["start_s", "end_s", "end_reason", "snr_db"])

    def _keep_results(self, connection: Connection, events: Sequence[Event]) -> None:
        """The newest revision of each producer, whole: what an older one found and the newer did not is removed."""
        newest: dict[tuple[str, str, str], Result] = {}
        for event in events:
            if isinstance(event.payload, Result):
                key = (event.session_id, event.payload.utterance_id, event.producer)
                if key not in newest or newest[key].revision <= event.payload.revision:
                    newest[key] = event.payload
        now = self._clock()
        rows = [_result_row(key, result, now) for key, result in newest.items()]
        columns = [column.name for column in database.results.columns if not column.primary_key]
        written = _write(connection, database.results, rows, columns, only_newer="revision")
        stored = {key: result for key, result in newest.items() if key in written}
        _keep_transcripts(connection, {key[:2]: result for key, result in stored.items() if isinstance(result, SegmentTranscribed)})
        _keep_segments(connection, {key[:2]: result for key, result in stored.items() if isinstance(result, SegmentDiarized)})
        _keep_attributes(connection, {key: result for key, result in stored.items() if isinstance(result, SegmentClassified)})

    def _keep_syntheses(self, connection: Connection, events: Sequence[Event]) -> None:
        rows = {
            event.session_id: {
                "session_id": event.session_id,
                "owner": event.payload.owner,
                "voice": event.payload.voice,
                "language": event.payload.language,
                "characters": len(event.payload.text),
                "requested_at": event.time,
            }
            for event in events
            if isinstance(event.payload, SynthesisRequested)
        }
        _write(connection, database.syntheses, list(rows.values()), [])


def _result_row(key: tuple[str, str, str], result: Result, now: float) -> Row:
    return {
        "session_id": key[0],
        "utterance_id": key[1],
        "producer": key[2],
        "revision": result.revision,
        "start_s": result.start_s,
        "end_s": result.end_s,
        "engine": result.engine.name,
        "engine_version": result.engine.version,
        "model_digest": result.engine.model_digest,
        "updated_at": now,
    }


def _keep_transcripts(connection: Connection, found: dict[tuple[str, str], SegmentTranscribed]) -> None:
    rows = [
        {"session_id": key[0], "utterance_id": key[1], "text": result.text, "confidence": result.confidence, "language": result.language}
        for key, result in found.items()
    ]
    _write(connection, database.transcripts, rows, ["text", "confidence", "language"])
    words = [
        {
            "session_id": key[0],
            "utterance_id": key[1],
            "position": position,
            "text": word.text,
            "start_s": word.start_s,
            "end_s": word.end_s,
            "confidence": word.confidence,
        }
        for key, result in found.items()
        for position, word in enumerate(result.words)
    ]
    _replace(connection, database.words, found, words)


def _keep_segments(connection: Connection, found: dict[tuple[str, str], SegmentDiarized]) -> None:
    rows = [
        {
            "session_id": key[0],
            "utterance_id": key[1],
            "position": position,
            "speaker": segment.speaker,
            "start_s": segment.start_s,
            "end_s": segment.end_s,
            "confidence": segment.confidence,
        }
        for key, result in found.items()
        for position, segment in enumerate(result.segments)
    ]
    _replace(connection, database.speaker_segments, found, rows)


def _keep_attributes(connection: Connection, found: dict[tuple[str, str, str], SegmentClassified]) -> None:
    rows = [_attribute_row(key, attribute) for key, result in found.items() for attribute in result.attributes]
    _replace(connection, database.attributes, found, rows)


def _attribute_row(key: tuple[str, str, str], attribute: Attribute) -> Row:
    is_label = isinstance(attribute.value, str)
    return {
        "session_id": key[0],
        "utterance_id": key[1],
        "producer": key[2],
        "name": attribute.name,
        "label": attribute.value if is_label else None,
        "number": None if is_label else attribute.value,
        "unit": attribute.unit,
        "confidence": attribute.confidence,
    }


def _replace(connection: Connection, table: Any, owners: Iterable[tuple[str, ...]], rows: list[Row]) -> None:
    """What belongs to the owners (leading columns of the table's key) is now these rows."""
    owners = sorted(owners)
    if not owners:
        return
    columns = list(table.primary_key.columns)[: len(owners[0])]
    connection.execute(table.delete().where(tuple_(*columns).in_(owners)))
    if rows:
        connection.execute(table.insert(), rows)
        ROWS.labels(table.name).inc(len(rows))


def _write(connection: Connection, table: Any, rows: list[Row], updates: Sequence[str], only_newer: str = "") -> set[tuple[Any, ...]]:
    written = upsert(connection, table, rows, updates=updates, only_newer=only_newer)
    if written:
        ROWS.labels(table.name).inc(len(written))
    return written
