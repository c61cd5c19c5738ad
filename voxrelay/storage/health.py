"""What an operator wants to know of the database beyond that it answers: does it take writes, and what is the time there."""

from __future__ import annotations

import time
from types import TracebackType

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from voxrelay.storage import database
from voxrelay.storage.database import answering


class Unwritable(Exception):
    """The database answers, but this user or this server takes no writes; the message is the database's own."""


class Health:
    """One connection's worth of questions; a context. Raises ``Unavailable`` when the database does not answer."""

    def __init__(self, url: str) -> None:
        self._engine = database.connect(url)

    def __enter__(self) -> Health:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._engine.dispose()

    def check_writing(self) -> None:
        """Writes in a transaction that is taken back. Raises ``Unwritable``."""
        with answering(), self._engine.connect() as connection:
            try:
                row = {"session_id": "", "created_at": 0.0}
                database.upsert(connection, database.sessions, [row], updates=())
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                raise Unwritable(str(error.orig).strip().partition("\n")[0]) from error
            finally:
                connection.rollback()

    def now(self) -> float:
        """The server's wall clock, seconds since the epoch; with SQLite that is this machine's."""
        if self._engine.dialect.name != "postgresql":
            return time.time()
        with answering(), self._engine.connect() as connection:
            return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
