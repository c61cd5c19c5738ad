"""The schema's history. ``migrate`` brings a database up to this version; processes that start together take turns."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from voxrelay.storage import database

LOCK = 0x766F7872  # "voxr": the advisory lock of migrating


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def newest() -> str:
    """The revision this version of Voxrelay needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def all_versions() -> list[str]:
    """Every revision that this Voxrelay can bring forward, the oldest first."""
    return [script.revision for script in reversed(list(ScriptDirectory.from_config(_config()).walk_revisions()))]


def current(url: str) -> str:
    """The database's revision; empty for one that was never migrated. Raises ``Unavailable`` when it does not answer."""
    engine = database.connect(url, is_read_only=True)
    try:
        with database.answering(), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() or ""
    finally:
        engine.dispose()


def migrate(url: str, to: str = "head") -> tuple[str, str]:
    """Bring the database to ``newest``, or to an older version on its way; the revisions before and after.

    Raises ``Unavailable`` when it does not answer.
    """
    engine = database.connect(url)
    try:
        with database.answering(), engine.begin() as connection:
            _take_turns(connection)
            before = MigrationContext.configure(connection).get_current_revision() or ""
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            return before, newest() if to == "head" else to
    finally:
        engine.dispose()


def _take_turns(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's writers take turns by themselves
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
