"""From every version of the schema that ever was to this one, with data in it; and what of the wire contract must never change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Float, Integer, MetaData, Numeric, Table, select

from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay.storage import database, migrations
from voxrelay.storage.access import AccessStore
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.views import Views
from voxrelay.v1 import events_pb2

ROWS = 3
RELEASED = Path(__file__).parent / "events_0_1_0.json"


def _value(column: Any, number: int) -> Any:
    if column.name.endswith("deleted_at"):
        return None
    if isinstance(column.type, JSON):
        return ["transcribe", f"{column.name} {number}"]
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, Integer):
        return number
    if isinstance(column.type, Numeric | Float):
        return number + 0.5
    return f"{column.name} {number}"


def _tables(connection: Any) -> list[Table]:
    known = MetaData()
    known.reflect(connection, only=lambda name, _: not name.startswith(("transcripts_by_word", "alembic")))
    return known.sorted_tables


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")  # SQLAlchemy reads no index over an expression from SQLite
@pytest.mark.parametrize("version", migrations.all_versions())
def test_the_data_of_every_version_is_there_afterwards(version: str, empty_database_url: str) -> None:
    migrations.migrate(empty_database_url, version)
    engine = database.connect(empty_database_url)
    with engine.begin() as connection:
        old = _tables(connection)
        for table in old:
            connection.execute(table.insert(), [{column.name: _value(column, number) for column in table.columns} for number in range(ROWS)])
        before = {t.name: [dict(r) for r in connection.execute(select(t).order_by(*t.primary_key.columns)).mappings()] for t in old}
    assert {"sessions", "words"} <= before.keys()
    assert all(len(rows) == ROWS for rows in before.values())
    migrations.migrate(empty_database_url)
    with engine.connect() as connection:
        for table in old:
            found = [dict(row) for row in connection.execute(select(*table.columns).order_by(*table.primary_key.columns)).mappings()]
            assert found == before[table.name], table.name
    _works(empty_database_url)
    engine.dispose()


def _works(url: str) -> None:
    """What is in it is found, and new is written and deleted."""
    engine, access = database.connect(url), AccessStore(url)
    views = Views(engine)
    assert [hit.session_id for hit in views.search('"text 1"')] == ["session_id 1"]
    assert views.session("session_id 1") is not None
    ResultProjection(engine).project(session("new"))
    assert len(views.search("kenobi")) == 1
    _, secret = access.create_key("a", "free")
    assert access.key_of(secret) is not None
    assert Deletions(engine).session("session_id 1", "somebody") is not None
    assert views.session("session_id 1") is None
    engine.dispose()
    access.close()


def test_versions_form_one_line() -> None:
    versions = migrations.all_versions()
    assert versions[0] == "0001"
    assert versions[-1] == migrations.newest()
    assert len(versions) == len(set(versions))


def wire_contract() -> dict[str, dict[str, list[Any]]]:
    """Number, type and repetition of every field of every message on the topics and in the checkpoints."""
    messages = events_pb2.DESCRIPTOR.message_types_by_name
    return {
        name: {field.name: [field.number, field.type, field.is_repeated] for field in message.fields} for name, message in sorted(messages.items())
    }


def test_fields_of_events_are_only_ever_added() -> None:
    """So that a service of one version reads the records and checkpoints of another, older or newer."""
    now = wire_contract()
    for message, fields in json.loads(RELEASED.read_text()).items():
        for name, field in fields.items():
            assert now.get(message, {}).get(name) == field, f"{message}.{name} was {field}"
    for message, fields in now.items():
        numbers = [number for number, _, _ in fields.values()]
        assert len(numbers) == len(set(numbers)), message
