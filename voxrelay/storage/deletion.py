"""Deleting what was said and heard, for good: rows and objects go, a mark stays that the projector honours, and a proof without speech.

What stays of a deleted session is its account: id, key, times, seconds of audio, the stages it asked for. Usage and quotas are sums over it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Engine, RowMapping, Table, and_, func, or_, select, text, update

from voxrelay.storage import database
from voxrelay.storage.database import answering, upsert
from voxrelay.storage.objects import ObjectStore, session_folder

Part = Literal["audio", "text", "session"]
WHOLE: tuple[Part, ...] = ("audio", "text", "session")
SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
MOST_IN_A_PROOF = 50  # sessions that one transaction deletes

_sessions, _deletions, _deleted = database.sessions, database.deletions, database.deleted_sessions
_OPENED = func.coalesce(_sessions.c.opened_at, _sessions.c.created_at)  # indexed by migration 0003
MARKS: dict[Part, Column[float]] = {"audio": _sessions.c.audio_deleted_at, "text": _sessions.c.text_deleted_at, "session": _sessions.c.deleted_at}
TABLES: dict[Part, tuple[Table, ...]] = {
    "audio": (database.recordings,),
    "text": (
        database.transcripts,
        database.words,
        database.speaker_segments,
        database.attributes,
        database.results,
        database.utterances,
    ),
    "session": (),
}


@dataclass(frozen=True, slots=True)
class SessionProof:
    """What was removed of one session. The digests are over the keys of the rows and the names and sizes of the objects, never over content:
    the digest of a short text gives the text away. ``objects`` is None, ``deleted_at`` too, until the objects are gone."""

    session_id: str
    rows: dict[str, int]
    rows_sha256: str
    objects: int | None
    object_bytes: int
    objects_sha256: str
    deleted_at: float | None


@dataclass(frozen=True, slots=True)
class Proof:
    """Who had what removed, why and when; ``finished_at`` is None until all objects are gone. Times are seconds since the epoch."""

    deletion_id: str
    requested_at: float
    requested_by: str
    reason: str
    selector: str
    parts: tuple[Part, ...]
    finished_at: float | None
    sessions: tuple[SessionProof, ...]


class Deletions:
    """Thread-safe, and any number of processes may delete at once. Every call may be repeated: what is deleted is not deleted again.

    Raises ``Unavailable`` when the database or the object store does not answer; what was begun is finished by the next ``finish``.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._clock = engine, clock

    # --- deleting --------------------------------------------------------------------------------------------------------

    def session(self, session_id: str, by: str) -> Proof | None:
        """The whole session. One that is not stored (yet) is marked all the same: nothing that still comes will be kept. None when it is
        deleted already."""
        with answering(), self._engine.begin() as connection:
            upsert(connection, _sessions, [{"session_id": session_id, "created_at": self._clock()}], updates=())
        return self._delete(_sessions.c.session_id == session_id, by, "session", session_id, WHOLE)

    def key(self, key_id: str, by: str) -> Iterator[Proof]:
        """All sessions that were opened with this key."""
        return self._delete_all(_sessions.c.owner == key_id, by, "key", key_id, WHOLE)

    def before(self, at: float, by: str, parts: Sequence[Part] = WHOLE, reason: str = "before") -> Iterator[Proof]:
        """These parts of all sessions opened before this time."""
        return self._delete_all(_opened_before(at), by, reason, str(int(at)), parts)

    def repeat(self, session_ids: Sequence[str], parts: Sequence[Part], by: str, of: str) -> None:
        """What a proof says, once more, in a database that was restored from an older backup; ``of`` is that proof's id."""
        with answering(), self._engine.begin() as connection:
            upsert(connection, _sessions, [{"session_id": session_id, "created_at": self._clock()} for session_id in session_ids], updates=())
        for _ in self._delete_all(_sessions.c.session_id.in_(session_ids), by, "repeated", of, parts):
            pass  # each step is stored

    def count_before(self, at: float, parts: Sequence[Part] = WHOLE) -> int:
        """How many sessions ``before`` would touch."""
        return self._count(_opened_before(at), parts)

    def count_key(self, key_id: str) -> int:
        return self._count(_sessions.c.owner == key_id, WHOLE)

    def finish(self, objects: ObjectStore) -> int:
        """Remove the objects of what was deleted, also by others or before a crash; how many sessions that were."""
        finished = 0
        unfinished = select(_deleted, _deletions.c.parts).join(_deletions, _deletions.c.deletion_id == _deleted.c.deletion_id)
        unfinished = unfinished.where(_deleted.c.deleted_at.is_(None)).order_by(_deleted.c.deletion_id, _deleted.c.session_id)
        while rows := self._rows(unfinished.limit(MOST_IN_A_PROOF)):
            for row in rows:
                self._remove_objects(objects, row)
            finished += len(rows)
        begun = [row["deletion_id"] for row in self._rows(select(_deletions.c.deletion_id).where(_deletions.c.finished_at.is_(None)))]
        if begun:
            is_open = select(_deleted.c.deletion_id).where(_deleted.c.deletion_id.in_(begun), _deleted.c.deleted_at.is_(None))
            ended = update(_deletions).where(_deletions.c.finished_at.is_(None), _deletions.c.deletion_id.in_(begun))
            with answering(), self._engine.begin() as connection:
                connection.execute(ended.where(_deletions.c.deletion_id.not_in(is_open)).values(finished_at=self._clock()))
            _scrub(self._engine)
        return finished

    def _delete_all(self, which: ColumnElement[bool], by: str, reason: str, selector: str, parts: Sequence[Part]) -> Iterator[Proof]:
        while (proof := self._delete(which, by, reason, selector, parts)) is not None:
            yield proof

    def _delete(self, which: ColumnElement[bool], by: str, reason: str, selector: str, parts: Sequence[Part]) -> Proof | None:
        """The next of these sessions, in one transaction: marked, so that a projector that writes waits and then drops; their rows removed."""
        now = self._clock()
        deletion_id = f"del_{secrets.token_hex(8)}"
        due = select(_sessions.c.session_id).where(which, _is_due(parts)).order_by(_OPENED).limit(MOST_IN_A_PROOF)
        with answering(), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.execute(text("PRAGMA secure_delete=ON"))
            ids: list[str] = []
            while not ids and (oldest := list(connection.execute(due).scalars())):  # again where another process came first with all of them
                ids = _locked(connection, oldest, parts)
            if not ids:
                return None
            for part in parts:
                mark = MARKS[part]
                connection.execute(update(_sessions).where(_sessions.c.session_id.in_(ids), mark.is_(None)).values({mark.name: now}))
            counts, digests = _remove_rows(connection, ids, [table for part in parts for table in TABLES[part]])
            row = {"deletion_id": deletion_id, "requested_at": now, "requested_by": by, "reason": reason, "selector": selector}
            connection.execute(_deletions.insert(), [row | {"parts": list(parts), "finished_at": None}])
            is_done = "audio" not in parts
            proofs = [
                {
                    "deletion_id": deletion_id,
                    "session_id": session_id,
                    "rows": counts[session_id],
                    "rows_sha256": digests[session_id],
                    "objects": 0 if is_done else None,
                    "deleted_at": now if is_done else None,
                }
                for session_id in ids
            ]
            connection.execute(_deleted.insert(), proofs)
        return self.proof(deletion_id)

    def _remove_objects(self, objects: ObjectStore, row: RowMapping) -> None:
        """Counted before they go, so that a crash between leaves the right count; counted once, whoever comes first."""
        sizes = objects.sizes(session_folder(row["session_id"]))
        mine = and_(_deleted.c.deletion_id == row["deletion_id"], _deleted.c.session_id == row["session_id"])
        digest = hashlib.sha256("".join(f"{name}\t{size}\n" for name, size in sorted(sizes.items())).encode()).hexdigest()
        found = {"objects": len(sizes), "object_bytes": sum(sizes.values()), "objects_sha256": digest}
        with answering(), self._engine.begin() as connection:
            connection.execute(update(_deleted).where(mine, _deleted.c.objects.is_(None)).values(found))
        objects.remove(list(sizes))
        with answering(), self._engine.begin() as connection:
            connection.execute(update(_deleted).where(mine, _deleted.c.deleted_at.is_(None)).values(deleted_at=self._clock()))

    # --- what was deleted --------------------------------------------------------------------------------------------------

    def proof(self, deletion_id: str) -> Proof | None:
        rows = self._rows(select(_deletions).where(_deletions.c.deletion_id == deletion_id))
        return self._proof(rows[0]) if rows else None

    def proof_of(self, session_id: str) -> Proof | None:
        """The newest that names this session."""
        named = select(_deletions).join(_deleted, _deleted.c.deletion_id == _deletions.c.deletion_id).where(_deleted.c.session_id == session_id)
        rows = self._rows(named.order_by(_deletions.c.requested_at.desc()).limit(1))
        return self._proof(rows[0]) if rows else None

    def proofs(self, since: float = 0.0) -> Iterator[Proof]:
        """In the order they were asked for."""
        for row in self._rows(
            select(_deletions).where(_deletions.c.requested_at >= since).order_by(_deletions.c.requested_at, _deletions.c.deletion_id)
        ):
            yield self._proof(row)

    def owner_of(self, session_id: str) -> str | None:
        """The key that opened it, deleted or not; None when nothing of it was ever stored."""
        rows = self._rows(select(_sessions.c.owner).where(_sessions.c.session_id == session_id))
        return str(rows[0]["owner"]) if rows else None

    def created_between(self, session_ids: Sequence[str], first: float, last: float) -> list[str]:
        """Those first stored in this time."""
        within = and_(_sessions.c.created_at >= first, _sessions.c.created_at < last)
        rows = self._rows(select(_sessions.c.session_id).where(_sessions.c.session_id.in_(session_ids), within))
        return [str(row["session_id"]) for row in rows]

    def _proof(self, row: RowMapping) -> Proof:
        columns = [column for column in _deleted.columns if column is not _deleted.c.deletion_id]
        found = self._rows(select(*columns).where(_deleted.c.deletion_id == row["deletion_id"]).order_by(_deleted.c.session_id))
        values: dict[str, Any] = {**row, "parts": tuple(row["parts"]), "sessions": tuple(SessionProof(**session) for session in found)}
        return Proof(**values)

    def _count(self, which: ColumnElement[bool], parts: Sequence[Part]) -> int:
        return int(self._rows(select(func.count().label("sessions")).select_from(_sessions).where(which, _is_due(parts)))[0]["sessions"])

    def _rows(self, query: Any) -> list[RowMapping]:
        with answering(), self._engine.connect() as connection:
            return list(connection.execute(query).mappings())


def lock_sessions(connection: Connection, session_ids: Sequence[str], now: float) -> dict[str, tuple[bool, bool]]:
    """A row for each session, locked until the transaction ends: writers and deletions of one session take turns.

    Whether nothing of what was said in it may be kept, and nothing of what was heard, by session.
    """
    upsert(connection, _sessions, [{"session_id": session_id, "created_at": now} for session_id in set(session_ids)], updates=())
    columns = (_sessions.c.session_id, _sessions.c.text_deleted_at, _sessions.c.audio_deleted_at)
    locked = select(*columns).where(_sessions.c.session_id.in_(session_ids)).order_by(_sessions.c.session_id).with_for_update()
    return {row.session_id: (row.text_deleted_at is not None, row.audio_deleted_at is not None) for row in connection.execute(locked)}


def proof_json(proof: Proof) -> dict[str, Any]:
    """As REST and the command line show it; ``sha256`` is over all the rest, so that a kept copy can be compared."""
    shown = {
        "deletion_id": proof.deletion_id,
        "requested_at": proof.requested_at,
        "requested_by": proof.requested_by,
        "reason": proof.reason,
        "selector": proof.selector,
        "parts": list(proof.parts),
        "finished_at": proof.finished_at,
        "sessions": [{name: getattr(session, name) for name in SessionProof.__slots__} for session in proof.sessions],
    }
    canonical = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return shown | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()}


def _opened_before(at: float) -> ColumnElement[bool]:
    return at > _OPENED


def _is_due(parts: Sequence[Part]) -> ColumnElement[bool]:
    """A session that was deleted whole has all the marks."""
    return or_(*(MARKS[part].is_(None) for part in (("session",) if "session" in parts else parts)))


def _locked(connection: Connection, ids: Sequence[str], parts: Sequence[Part]) -> list[str]:
    """Those that are still due once we have them, in the order in which the projector locks sessions, too."""
    still_due = select(_sessions.c.session_id).where(_sessions.c.session_id.in_(ids), _is_due(parts)).order_by(_sessions.c.session_id)
    return list(connection.execute(still_due.with_for_update()).scalars())


def _remove_rows(connection: Connection, ids: Sequence[str], tables: Sequence[Table]) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """How many rows of each table went, and the digest of their keys, by session."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    digests = {session_id: hashlib.sha256() for session_id in ids}
    for table in tables:
        keys = list(table.primary_key.columns)
        for row in connection.execute(select(*keys).where(table.c.session_id.in_(ids)).order_by(*keys)):
            digests[row.session_id].update("\t".join((table.name, *map(str, row))).encode() + b"\n")
            counts[row.session_id][table.name] = counts[row.session_id].get(table.name, 0) + 1
        connection.execute(table.delete().where(table.c.session_id.in_(ids)))
    return {session_id: counts[session_id] for session_id in ids}, {session_id: digest.hexdigest() for session_id, digest in digests.items()}


def _scrub(engine: Engine) -> None:
    """SQLite keeps deleted text in the word index and the write-ahead log until they are merged; PostgreSQL's autovacuum sees to it."""
    if engine.dialect.name != "sqlite":
        return
    with answering(), engine.begin() as connection:
        connection.execute(text("PRAGMA secure_delete=ON"))
        connection.execute(text("INSERT INTO transcripts_by_word(transcripts_by_word) VALUES ('optimize')"))
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()
