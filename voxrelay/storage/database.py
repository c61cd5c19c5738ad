"""The tables, and how to connect. One schema runs on PostgreSQL and on SQLite; ``migrations`` creates it.

Rows belong to a session and, below it, to an utterance. ``results`` says which revision of which producer is stored and by which
engine; what it found lies in the table of its kind. Times are seconds from the session's start; ``_at`` columns are wall clock,
seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable

BUSY_TIMEOUT_MS = 30_000
CONNECT_TIMEOUT_S = 5
UNANSWERED = ("does not exist", "deadlock", "not a database", "malformed")  # in what a driver says of a database that cannot serve now

metadata = MetaData()


def _session_id() -> Column[str]:
    return Column("session_id", Text, primary_key=True)


def _utterance_id() -> Column[str]:
    return Column("utterance_id", Text, primary_key=True)


sessions = Table(
    "sessions",
    metadata,
    _session_id(),
    Column("owner", Text, nullable=False, server_default=""),
    Column("language", Text, nullable=False, server_default=""),
    Column("stages", JSON, nullable=True),  # null until the opening is seen: results may come first
    Column("opened_at", Float(53), nullable=True),
    Column("audio_seconds", Float(53), nullable=False, server_default="0"),
    Column("is_complete", Boolean, nullable=False, server_default=text("false")),
    Column("completed_at", Float(53), nullable=True),
    Column("created_at", Float(53), nullable=False),
    Column("audio_deleted_at", Float(53), nullable=True),  # from then on nothing of it is kept, storage/deletion.py
    Column("text_deleted_at", Float(53), nullable=True),
    Column("deleted_at", Float(53), nullable=True),  # it is shown no more
    Index("sessions_by_creation", "created_at", "session_id"),
    Index("sessions_by_owner", "owner", "opened_at"),
)
stage_finishes = Table(
    "stage_finishes",
    metadata,
    _session_id(),
    Column("stage", Text, primary_key=True),
    Column("utterances", Integer, nullable=False),
    Column("audio_seconds", Float(53), nullable=False),
)
utterances = Table(
    "utterances",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("start_s", Float(53), nullable=False),
    Column("end_s", Float(53), nullable=True),  # null while it goes on
    Column("end_reason", Text, nullable=False, server_default=""),
    Column("snr_db", Float(53), nullable=True),
)
results = Table(
    "results",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("producer", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("start_s", Float(53), nullable=False),
    Column("end_s", Float(53), nullable=False),
    Column("engine", Text, nullable=False, server_default=""),
    Column("engine_version", Text, nullable=False, server_default=""),
    Column("model_digest", Text, nullable=False, server_default=""),
    Column("updated_at", Float(53), nullable=False),
)
transcripts = Table(
    "transcripts",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("text", Text, nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("language", Text, nullable=False, server_default=""),
)
words = Table(
    "words",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("position", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("start_s", Float(53), nullable=False),
    Column("end_s", Float(53), nullable=False),
    Column("confidence", Float(53), nullable=False),
)
speaker_segments = Table(
    "speaker_segments",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("position", Integer, primary_key=True),
    Column("speaker", Text, nullable=False),
    Column("start_s", Float(53), nullable=False),
    Column("end_s", Float(53), nullable=False),
    Column("confidence", Float(53), nullable=False),
)
attributes = Table(
    "attributes",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("producer", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("label", Text, nullable=True),  # one of label and number is set
    Column("number", Float(53), nullable=True),
    Column("unit", Text, nullable=False, server_default=""),
    Column("confidence", Float(53), nullable=False),
    Index("attributes_by_name", "name", "label", "number"),
)
recordings = Table(
    "recordings",
    metadata,
    _session_id(),
    _utterance_id(),
    Column("object", Text, nullable=False),  # its name in the object store
    Column("size_bytes", Integer, nullable=False),
    Column("duration_s", Float(53), nullable=False),
    Column("created_at", Float(53), nullable=False),
)
syntheses = Table(
    "syntheses",
    metadata,
    _session_id(),
    Column("owner", Text, nullable=False, server_default=""),
    Column("voice", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("characters", Integer, nullable=False),  # the text itself is not kept
    Column("requested_at", Float(53), nullable=False),
    Index("syntheses_by_owner", "owner", "requested_at"),
)

# --- what was deleted: storage/deletion.py -----------------------------------------------------------------------------------

deletions = Table(
    "deletions",
    metadata,
    Column("deletion_id", Text, primary_key=True),
    Column("requested_at", Float(53), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("selector", Text, nullable=False),
    Column("parts", JSON, nullable=False),
    Column("finished_at", Float(53), nullable=True),  # null until the objects of all its sessions are gone
    Index("deletions_by_time", "requested_at", "deletion_id"),
    Index("deletions_unfinished", "finished_at"),
)
deleted_sessions = Table(
    "deleted_sessions",
    metadata,
    Column("deletion_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("rows", JSON, nullable=False),  # removed, by table
    Column("rows_sha256", Text, nullable=False),
    Column("objects", Integer, nullable=True),  # null until they were counted
    Column("object_bytes", BigInteger, nullable=False, server_default="0"),
    Column("objects_sha256", Text, nullable=False, server_default=""),
    Column("deleted_at", Float(53), nullable=True),
    Index("deleted_sessions_by_session", "session_id"),
    Index("deleted_sessions_unfinished", "deleted_at", "deletion_id"),
)

# --- who may come in: written by the gateways and the command line, see storage/access.py ---------------------------------

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("is_admin", Boolean, nullable=False, server_default=text("false")),
    Column("models", JSON, nullable=False),  # the names allowed, [] for all
    Column("requests_per_minute", Integer, nullable=True),  # null: as the plan says
    Column("concurrent_sessions", Integer, nullable=True),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=True),
    Column("revoked_at", Float(53), nullable=True),
)
key_secrets = Table(
    "key_secrets",
    metadata,
    Column("sha256", Text, primary_key=True),  # of the key as its owner holds it, in hex
    Column("key_id", Text, nullable=False),
    Column("expires_at", Float(53), nullable=True),  # set when a newer one took its place
    Index("key_secrets_by_key", "key_id"),
)
users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text, nullable=False),  # voxrelay/passwords.py
    Column("key_id", Text, nullable=False),
    Column("created_at", Float(53), nullable=False),
)
signing_secrets = Table(
    "signing_secrets",
    metadata,
    Column("secret_id", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("created_at", Float(53), nullable=False),
)
requests_by_minute = Table(
    "requests_by_minute",
    metadata,
    Column("subject", Text, primary_key=True),  # a key's id, or what logs in
    Column("minute", Integer, primary_key=True),  # since the epoch
    Column("count", Integer, nullable=False),
)
places = Table(
    "places",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("gateway", Text, nullable=False),
    Column("taken_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),  # renewed while the session lives
    Column("audio_seconds", Float(53), nullable=False, server_default="0"),
    Index("places_by_key", "key_id", "expires_at"),
    Index("places_by_gateway", "gateway"),
)


def connect(url: str, *, is_read_only: bool = False) -> Engine:
    """An engine for ``sqlite:///…`` or ``postgresql+psycopg://…``; nothing is opened yet.

    Writers of SQLite queue for the file instead of failing; readers never wait for them (WAL). Raises ``EngineUnusable`` for another URL.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise EngineUnusable("The database must be PostgreSQL (postgresql+psycopg://…) or SQLite (sqlite:///…).")
        if parsed.get_backend_name() == "postgresql":
            options = f"-c default_transaction_read_only={'on' if is_read_only else 'off'}"
            arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options}
            return create_engine(parsed, pool_pre_ping=True, connect_args=arguments)
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    except (ArgumentError, NoSuchModuleError) as error:
        raise EngineUnusable("VOXRELAY_DATABASE_URL is no address of a database: postgresql+psycopg://user:password@host/name.") from error
    _prepare_sqlite(engine, is_read_only)
    return engine


def _prepare_sqlite(engine: Engine, is_read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def opened(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA query_only={'ON' if is_read_only else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if is_read_only else "BEGIN IMMEDIATE")


@contextmanager
def answering() -> Iterator[None]:
    """Raises ``Unavailable`` where the database does not answer, is full, locked or not yet migrated; other errors pass."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise Unavailable(f"The database does not answer: {_first_line(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated or any(sign in str(error.orig) for sign in UNANSWERED):
            raise Unavailable(f"The database does not answer: {_first_line(error)}") from error
        raise


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().partition("\n")[0]


def ask(engine: Engine) -> None:
    """For /ready. Raises ``Unavailable`` with a plain sentence when the database does not answer."""
    with answering(), engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, updates: Sequence[str], only_newer: str = ""
) -> set[tuple[Any, ...]]:
    """Insert rows or, where the primary key is there, set the columns ``updates``; the primary keys of the rows written.

    ``only_newer`` names a column that must not shrink: rows that would lower it are left alone. Rows go in the order of their keys, so
    that two writers never lock them crosswise. No two rows may have the same key.
    """
    if not rows:
        return set()
    key = [column.name for column in table.primary_key.columns]
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in key))
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table)
    if updates:
        guard = insert.excluded[only_newer] >= table.c[only_newer] if only_newer else None
        insert = insert.on_conflict_do_update(index_elements=key, set_={name: insert.excluded[name] for name in updates}, where=guard)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=key)
    written = connection.execute(insert.returning(*table.primary_key.columns), ordered)
    return {tuple(row) for row in written}
