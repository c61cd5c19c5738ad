"""What of a plan is used: requests of the minute, sessions at once, audio of the month; counted for all gateways together.

Thread-safe. Every call raises ``Unavailable`` when the database does not answer. The gateways' clocks must agree within some seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, exists, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from voxrelay.errors import Refused
from voxrelay.plans import Plan
from voxrelay.storage import database
from voxrelay.storage.database import answering, upsert

MINUTE_S = 60
PLACE_S = 30.0  # a gateway that does not renew its places loses them after so long
MINUTES_KEPT = 10
UNSTORED_KEPT_S = 86_400.0  # audio that the projector has not stored counts for so long

_requests, _places, _sessions, _keys = database.requests_by_minute, database.places, database.sessions, database.api_keys


def month_start(now: float) -> float:
    """The first second of the calendar month (UTC)."""
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


class Limits:
    """A place is a session's lease: it counts until it is left, or until its gateway has not renewed it for ``PLACE_S``."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine, self._clock = engine, clock

    def count_request(self, subject: str) -> int:
        """One more of this minute; how many that are, over all gateways."""
        dialect: Any = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        insert = dialect.insert(_requests).values(subject=subject, minute=int(self._clock() // MINUTE_S), count=1)
        counted = insert.on_conflict_do_update(index_elements=["subject", "minute"], set_={"count": _requests.c.count + 1})
        with answering(), self._engine.begin() as connection:
            return int(connection.execute(counted.returning(_requests.c.count)).scalar_one())

    def take_place(self, key_id: str, plan: Plan, session_id: str, gateway: str) -> float:
        """How many seconds of audio the session may have, ``inf`` without limit. Atomic: places never exceed the plan's.

        A session that goes on at another gateway takes its own place over.

        Raises ``Refused`` SESSION_LIMIT, QUOTA_EXCEEDED.
        """
        now = self._clock()
        with answering(), self._engine.begin() as connection:
            left_s = math.inf
            if plan.minutes_per_month:
                left_s = plan.minutes_per_month * 60.0 - self._audio_seconds(connection, key_id, month_start(now), session_id)
                if left_s <= 0:
                    raise Refused("QUOTA_EXCEEDED", f"The {plan.minutes_per_month} minutes of this month are used up; a larger plan has more.")
            if plan.concurrent_sessions:
                # Who takes a place holds the key's row until it is taken: on PostgreSQL by this lock, on SQLite there is one writer.
                connection.execute(select(_keys.c.key_id).where(_keys.c.key_id == key_id).with_for_update())
                held = select(func.count()).where(_places.c.key_id == key_id, _places.c.expires_at > now, _places.c.session_id != session_id)
                if connection.execute(held).scalar_one() >= plan.concurrent_sessions:
                    raise Refused("SESSION_LIMIT", f"This key may have {plan.concurrent_sessions} sessions at once; close one, or wait.")
            row = {"session_id": session_id, "key_id": key_id, "gateway": gateway, "taken_at": now, "expires_at": now + PLACE_S}
            upsert(connection, _places, [row], updates=["gateway", "expires_at"])
        return left_s

    def renew_places(self, gateway: str, audio_seconds: Mapping[str, float]) -> None:
        """The gateway's sessions live on; each has had so much audio."""
        renewed = _places.update().where(_places.c.session_id == bindparam("of"), _places.c.gateway == gateway)
        renewed = renewed.values(expires_at=self._clock() + PLACE_S, audio_seconds=bindparam("heard"))
        rows = [{"of": session_id, "heard": heard} for session_id, heard in sorted(audio_seconds.items())]
        with answering(), self._engine.begin() as connection:
            connection.execute(renewed, rows)

    def leave_place(self, session_id: str, gateway: str, audio_seconds: float) -> None:
        """Its place is free, unless another gateway has it by now; its audio counts here until the projector has stored the session."""
        mine = and_(_places.c.session_id == session_id, _places.c.gateway == gateway)
        ended = _places.update().where(mine).values(expires_at=self._clock(), audio_seconds=audio_seconds)
        left = ended if audio_seconds else _places.delete().where(mine)
        with answering(), self._engine.begin() as connection:
            connection.execute(left)

    def tidy(self) -> None:
        """Remove what counts no more; any gateway may, at any time."""
        now = self._clock()
        is_stored = exists().where(_sessions.c.session_id == _places.c.session_id, _sessions.c.audio_seconds > 0)
        is_over = and_(_places.c.expires_at <= now, or_(_places.c.expires_at < now - UNSTORED_KEPT_S, is_stored))
        with answering(), self._engine.begin() as connection:
            connection.execute(_places.delete().where(is_over))
            connection.execute(_requests.delete().where(_requests.c.minute < now // MINUTE_S - MINUTES_KEPT))

    def audio_seconds_of_month(self, key_id: str) -> float:
        """What is stored of this calendar month (UTC), and what runs now."""
        with answering(), self._engine.connect() as connection:
            return self._audio_seconds(connection, key_id, month_start(self._clock()))

    def _audio_seconds(self, connection: Connection, key_id: str, since: float, but_of: str = "") -> float:
        stored = select(func.coalesce(func.sum(_sessions.c.audio_seconds), 0.0))
        stored = stored.where(_sessions.c.owner == key_id, _sessions.c.opened_at >= since, _sessions.c.session_id != but_of)
        unstored = (
            select(func.coalesce(func.sum(_places.c.audio_seconds), 0.0))
            .outerjoin_from(_places, _sessions, _sessions.c.session_id == _places.c.session_id)
            .where(_places.c.key_id == key_id, _places.c.taken_at >= since, _places.c.session_id != but_of)
            .where(func.coalesce(_sessions.c.audio_seconds, 0.0) == 0)
        )
        return float(connection.execute(stored).scalar_one()) + float(connection.execute(unstored).scalar_one())
