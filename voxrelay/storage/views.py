"""What was kept, for reading only: sessions, their utterances joined, words, speakers, attributes, and a search over what was said.

Thread-safe. Every call raises ``Unavailable`` when the database does not answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine, RowMapping, Select, Table, and_, func, or_, select, text

from voxrelay.events import Attribute, SegmentClassified, SegmentDiarized, SegmentTranscribed, SpeakerSegment, Word
from voxrelay.join import JoinedUtterance, JoinedWord, join
from voxrelay.storage import database
from voxrelay.storage.database import answering
from voxrelay.storage.usage import UsageOfDay, usage
from voxrelay.topology import TRANSCRIBE

MOST_SESSIONS = 1000
_TERM = re.compile(r'"([^"]+)"|(\S+)')
_SIGNS = re.compile(r"[^\w']+")


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """``opened_at`` is seconds since the epoch (0 while the opening has not been stored)."""

    session_id: str
    opened_at: float
    audio_seconds: float
    utterances: int
    speakers: tuple[str, ...]
    language: str
    is_complete: bool


@dataclass(frozen=True, slots=True)
class StoredUtterance:
    """``recording`` is the audio's name in the object store, empty where none is kept."""

    joined: JoinedUtterance
    end_reason: str
    snr_db: float | None
    recording: str


@dataclass(frozen=True, slots=True)
class SpeakerTotal:
    speaker: str
    spoken_s: float
    utterances: int
    words: int


@dataclass(frozen=True, slots=True)
class StoredSession:
    summary: SessionSummary
    utterances: tuple[StoredUtterance, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    session_id: str
    utterance: StoredUtterance


class Views:
    """Reads what the projector writes; ``engine`` should be read-only (``database.connect(url, is_read_only=True)``).

    ``owner`` is the id of a key: only what was opened with it is shown; None shows everybody's.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self) -> None:
        """For /ready."""
        database.ask(self._engine)

    def sessions(self, limit: int = 50, before: str = "", owner: str | None = None) -> list[SessionSummary]:
        """The newest first; ``before`` is the id of the last one seen. An id that is not there gives the newest."""
        table = database.sessions
        query = (
            select(table)
            .where(table.c.deleted_at.is_(None))
            .order_by(table.c.created_at.desc(), table.c.session_id.desc())
            .limit(min(limit, MOST_SESSIONS))
        )
        if owner is not None:
            query = query.where(table.c.owner == owner)
        if before:
            place = select(table.c.created_at).where(table.c.session_id == before).scalar_subquery()
            older = or_(table.c.created_at < place, and_(table.c.created_at == place, table.c.session_id < before))
            query = query.where(or_(place.is_(None), older))
        return self._summaries(self._rows(query))

    def session(self, session_id: str, owner: str | None = None) -> StoredSession | None:
        """The whole session, or None when nothing of it is stored, or it is another's."""
        rows = self._rows(select(database.sessions).where(database.sessions.c.session_id == session_id))
        if not rows or rows[0]["deleted_at"] is not None or owner not in (None, rows[0]["owner"]):
            return None
        return StoredSession(self._summaries(rows)[0], tuple(self._utterances([session_id])[session_id]))

    def utterances(self, session_id: str) -> list[StoredUtterance]:
        """In the order they were begun."""
        return self._utterances([session_id])[session_id]

    def words(self, session_id: str) -> list[JoinedWord]:
        """Every word with its speaker, by time."""
        return sorted((word for stored in self.utterances(session_id) for word in stored.joined.words), key=lambda word: word.start_s)

    def speakers(self, session_id: str) -> list[SpeakerTotal]:
        """How much each speaker said, by label."""
        spoken_s: dict[str, float] = defaultdict(float)
        in_utterances: dict[str, set[str]] = defaultdict(set)
        words: dict[str, int] = defaultdict(int)
        for stored in self.utterances(session_id):
            for segment in stored.joined.segments:
                spoken_s[segment.speaker] += segment.end_s - segment.start_s
                in_utterances[segment.speaker].add(stored.joined.utterance_id)
            for word in stored.joined.words:
                words[word.speaker] += 1
        return [SpeakerTotal(name, round(spoken_s[name], 3), len(in_utterances[name]), words[name]) for name in sorted(spoken_s)]

    def attributes(self, session_id: str) -> dict[str, tuple[Attribute, ...]]:
        """By utterance, in the order they were begun."""
        return {stored.joined.utterance_id: stored.joined.attributes for stored in self.utterances(session_id)}

    def search(self, query: str, limit: int = 50, session_id: str = "", owner: str | None = None) -> list[Hit]:
        """Utterances that hold every word and every "quoted phrase" of the query; the best matches first. An empty query finds nothing."""
        phrases = _phrases(query)
        if not phrases:
            return []
        search = self._search_postgresql if self._is_postgresql else self._search_sqlite
        found = search(phrases, limit, session_id, owner)
        joined = self._utterances(sorted({row["session_id"] for row in found}))
        by_key = {(of_session, stored.joined.utterance_id): stored for of_session, of in joined.items() for stored in of}
        return [Hit(key[0], by_key[key]) for key in ((row["session_id"], row["utterance_id"]) for row in found) if key in by_key]

    def usage(self, owner: str | None = None, first: date | None = None, last: date | None = None) -> list[UsageOfDay]:
        """By day and key, both days in it."""
        return usage(self._engine, owner, first, last)

    # --- searching -------------------------------------------------------------------------------------------------------

    @property
    def _is_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def _search_postgresql(self, phrases: Sequence[str], limit: int, session_id: str, owner: str | None) -> list[RowMapping]:
        table = database.transcripts
        document = func.to_tsvector(text("'simple'"), table.c.text)
        wanted = func.websearch_to_tsquery(text("'simple'"), " ".join(f'"{phrase}"' for phrase in phrases))
        query = select(table.c.session_id, table.c.utterance_id).where(document.op("@@")(wanted))
        if session_id:
            query = query.where(table.c.session_id == session_id)
        if owner is not None:
            query = query.where(table.c.session_id.in_(select(database.sessions.c.session_id).where(database.sessions.c.owner == owner)))
        return self._rows(query.order_by(func.ts_rank(document, wanted).desc(), table.c.session_id, table.c.utterance_id).limit(limit))

    def _search_sqlite(self, phrases: Sequence[str], limit: int, session_id: str, owner: str | None) -> list[RowMapping]:
        statement = text(
            "SELECT t.session_id, t.utterance_id FROM transcripts_by_word JOIN transcripts t ON t.rowid = transcripts_by_word.rowid"
            " WHERE transcripts_by_word MATCH :wanted AND (:session_id = '' OR t.session_id = :session_id)"
            " AND (:owner IS NULL OR EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = t.session_id AND s.owner = :owner))"
            " ORDER BY transcripts_by_word.rank, t.session_id, t.utterance_id LIMIT :limit"
        )
        wanted = " AND ".join(f'"{phrase}"' for phrase in phrases)
        with answering(), self._engine.connect() as connection:
            return list(connection.execute(statement, {"wanted": wanted, "session_id": session_id, "owner": owner, "limit": limit}).mappings())

    # --- putting sessions together -----------------------------------------------------------------------------------------

    def _rows(self, query: Select[Any]) -> list[RowMapping]:
        with answering(), self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def _by_utterance(self, table: Table, session_ids: Sequence[str]) -> dict[tuple[str, str], list[RowMapping]]:
        """A table's rows by session and utterance, in the order of its primary key."""
        rows: dict[tuple[str, str], list[RowMapping]] = defaultdict(list)
        for row in self._rows(select(table).where(table.c.session_id.in_(session_ids)).order_by(*table.primary_key.columns)):
            rows[row["session_id"], row["utterance_id"]].append(row)
        return rows

    def _summaries(self, rows: Sequence[RowMapping]) -> list[SessionSummary]:
        session_ids = [row["session_id"] for row in rows]
        utterances, segments = database.utterances.c, database.speaker_segments.c
        counted = select(utterances.session_id, func.count().label("count")).where(utterances.session_id.in_(session_ids))
        counts = {row["session_id"]: row["count"] for row in self._rows(counted.group_by(utterances.session_id))}
        speakers: dict[str, list[str]] = defaultdict(list)
        spoken = select(segments.session_id, segments.speaker).where(segments.session_id.in_(session_ids)).distinct()
        for row in self._rows(spoken):
            speakers[row["session_id"]].append(row["speaker"])
        return [
            SessionSummary(
                session_id=row["session_id"],
                opened_at=row["opened_at"] or 0.0,
                audio_seconds=row["audio_seconds"],
                utterances=counts.get(row["session_id"], 0),
                speakers=tuple(sorted(speakers[row["session_id"]], key=_speaker_order)),
                language=row["language"],
                is_complete=bool(row["is_complete"]),
            )
            for row in rows
        ]

    def _utterances(self, session_ids: Sequence[str]) -> dict[str, list[StoredUtterance]]:
        boundaries = self._by_utterance(database.utterances, session_ids)
        results = self._by_utterance(database.results, session_ids)
        transcripts, words = self._by_utterance(database.transcripts, session_ids), self._by_utterance(database.words, session_ids)
        segments, attributes = self._by_utterance(database.speaker_segments, session_ids), self._by_utterance(database.attributes, session_ids)
        recordings = self._by_utterance(database.recordings, session_ids)
        stored: dict[str, list[StoredUtterance]] = {session_id: [] for session_id in session_ids}
        for key in results.keys() | boundaries.keys():
            parts = _Parts(results[key], transcripts[key], words[key], segments[key], attributes[key])
            bounds: Mapping[str, Any] = dict(boundaries[key][0]) if key in boundaries else {}
            joined = parts.joined(key[1], bounds)
            recording = recordings[key][0]["object"] if key in recordings else ""
            stored[key[0]].append(StoredUtterance(joined, bounds.get("end_reason", ""), bounds.get("snr_db"), recording))
        for of in stored.values():
            of.sort(key=lambda utterance: (utterance.joined.start_s, utterance.joined.utterance_id))
        return stored


@dataclass(frozen=True, slots=True)
class _Parts:
    """The rows of one utterance."""

    results: Sequence[RowMapping]
    transcripts: Sequence[RowMapping]
    words: Sequence[RowMapping]
    segments: Sequence[RowMapping]
    attributes: Sequence[RowMapping]

    def joined(self, utterance_id: str, bounds: Mapping[str, Any]) -> JoinedUtterance:
        """An utterance that nobody has said anything about yet has its times alone."""
        transcribed = diarized = None
        classified: list[SegmentClassified] = []
        for row in self.results:
            head = (utterance_id, row["revision"], True, row["start_s"], row["end_s"])
            if row["producer"] == TRANSCRIBE.name and self.transcripts:
                said = self.transcripts[0]
                words = tuple(Word(word["text"], word["start_s"], word["end_s"], word["confidence"]) for word in self.words)
                transcribed = SegmentTranscribed(*head, said["text"], said["confidence"], words, said["language"])
            elif row["producer"].startswith("classify"):
                classified.append(SegmentClassified(*head, tuple(_attribute(a) for a in self.attributes if a["producer"] == row["producer"])))
            else:
                segments = tuple(SpeakerSegment(s["speaker"], s["start_s"], s["end_s"], s["confidence"]) for s in self.segments)
                diarized = SegmentDiarized(*head, segments)
        if transcribed is None and diarized is None and not classified:
            start_s, end_s = bounds["start_s"], bounds["end_s"] or bounds["start_s"]
            return JoinedUtterance(utterance_id, start_s, end_s, "", 0.0, "", "", (), (), ())
        return join(transcribed, diarized, classified)


def _attribute(row: RowMapping) -> Attribute:
    return Attribute(row["name"], row["label"] if row["label"] is not None else row["number"], row["confidence"], row["unit"])


def _speaker_order(speaker: str) -> tuple[int, str]:
    return len(speaker), speaker


def _phrases(query: str) -> list[str]:
    """What must be found, without signs that either database would read as an operator."""
    wanted = (_SIGNS.sub(" ", quoted or plain).strip() for quoted, plain in _TERM.findall(query))
    return [phrase for phrase in wanted if phrase.strip("'")]
