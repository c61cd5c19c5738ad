"""Usage by key and day: a view over the sessions and syntheses that the projector stores anyway, so that nothing is counted twice.

A session counts on the day (UTC) it was opened, under the key that opened it, with the audio that was processed; a synthesis on the
day it was asked for. What the projector has not stored yet is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Engine, Integer, cast, func, select

from voxrelay.storage import database
from voxrelay.storage.database import answering

DAY_S = 86_400
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class UsageOfDay:
    """``owner`` is a key's id, empty for what was used without one. ``audio_seconds`` was heard, ``characters`` were spoken."""

    owner: str
    day: date
    sessions: int = 0
    audio_seconds: float = 0.0
    syntheses: int = 0
    characters: int = 0


def usage(engine: Engine, owner: str | None = None, first: date | None = None, last: date | None = None) -> list[UsageOfDay]:
    """By day and key, from ``first`` to ``last`` (both in it); None is no limit, and for ``owner`` everybody.

    Raises ``Unavailable`` when the database does not answer.
    """
    heard, spoken = database.sessions.c, database.syntheses.c
    opened_at = func.coalesce(heard.opened_at, heard.created_at)
    sums_heard = (func.count().label("sessions"), func.sum(heard.audio_seconds).label("audio_seconds"))
    sums_spoken = (func.count().label("syntheses"), func.sum(spoken.characters).label("characters"))
    found: dict[tuple[int, str], dict[str, Any]] = {}
    with answering(), engine.connect() as connection:
        is_postgresql = connection.dialect.name == "postgresql"
        for at, of, sums in ((opened_at, heard.owner, sums_heard), (spoken.requested_at, spoken.owner, sums_spoken)):
            day = _day(at, is_postgresql).label("day")
            query = select(of, day, *sums).where(*_within(at, of, owner, first, last)).group_by(of, day)
            for row in connection.execute(query).mappings():
                found.setdefault((row["day"], row["owner"]), {}).update({name: row[name] for name in row if name not in ("day", "owner")})
    return [UsageOfDay(of, EPOCH + timedelta(days=day), **values) for (day, of), values in sorted(found.items())]


def _day(at: ColumnElement[Any], is_postgresql: bool) -> ColumnElement[int]:
    """Days since the epoch; PostgreSQL rounds where SQLite cuts."""
    return cast(func.floor(at / DAY_S) if is_postgresql else at / DAY_S, Integer)


def _within(at: ColumnElement[Any], of: Column[str], owner: str | None, first: date | None, last: date | None) -> list[ColumnElement[bool]]:
    limits: list[ColumnElement[bool]] = [] if owner is None else [of == owner]
    if first is not None:
        limits.append(at >= _start(first))
    if last is not None:
        limits.append(at < _start(last) + DAY_S)
    return limits


def _start(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
