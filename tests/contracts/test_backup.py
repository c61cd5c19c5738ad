"""Backup and restore: PostgreSQL with a real S3 server, SQLite with folders. Rows and recordings are equal afterwards."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from services.projector.projection import ResultProjection
from tests.contracts.test_deletion import keep
from tests.stored import session
from voxrelay.bus.api import TopicPartition
from voxrelay.errors import Unavailable
from voxrelay.events import Event, SynthesisRequested
from voxrelay.storage import backup, database, migrations
from voxrelay.storage.access import AccessStore
from voxrelay.storage.backup import TRANSIENT, NotRestorable, back_up, restore
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.views import Views
from voxrelay.topology import TopicSpec


@pytest.fixture
def folder(database_url: str, tmp_path: Path, unique: str, request: pytest.FixtureRequest) -> Callable[[str], ObjectStore]:
    """Object stores of one kind: a real bucket beside PostgreSQL, folders beside SQLite."""

    def make(name: str) -> ObjectStore:
        if database_url.startswith("sqlite"):
            return ObjectStore((tmp_path / name).as_uri())
        return ObjectStore(f"{request.getfixturevalue('object_store_url').rstrip('/')}/{unique}/{name}")

    return make


@pytest.fixture
def objects(folder: Callable[[str], ObjectStore]) -> ObjectStore:
    return folder("objects")


@pytest.fixture
def filled(database_url: str, objects: ObjectStore) -> Iterator[str]:
    """The database's address, with some of everything in it."""
    engine, access = database.connect(database_url), AccessStore(database_url)
    keep(engine, objects, "one", "two", "three")
    ResultProjection(engine).project([Event("spoken", SynthesisRequested("Hello.", "en-us", "en"), "gateway", 1, "s1", 1.0)])
    key, _ = access.create_key("ward 3", "developer", models=["nova-3"])
    access.create_user("anna", "correct horse", key.key_id)
    access.signing_secrets()
    Deletions(engine).session("three", "somebody")
    Deletions(engine).finish(objects)
    yield database_url
    engine.dispose()
    access.close()


def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    engine = database.connect(url, is_read_only=True)
    with engine.connect() as connection:
        tables = [table for table in database.metadata.sorted_tables if table not in TRANSIENT]
        found = {t.name: [dict(row) for row in connection.execute(select(t).order_by(*t.primary_key.columns)).mappings()] for t in tables}
    engine.dispose()
    return found


def recordings(objects: ObjectStore) -> dict[str, bytes | None]:
    return {name: objects.get(name) for name in objects.list("sessions")}


def lose(url: str, objects: ObjectStore) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    if url.startswith("sqlite"):
        for file in Path(url.removeprefix("sqlite:///")).parent.glob("voxrelay.db*"):
            file.unlink()
    objects.delete("sessions")


def test_what_was_lost_is_back(filled: str, objects: ObjectStore, folder: Callable[[str], ObjectStore], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "ROWS_IN_A_PART", 3)
    monkeypatch.setattr(backup, "OBJECTS_IN_A_PART", 1)
    target = folder("backup")
    rows, heard = contents(filled), recordings(objects)
    assert all(rows.values())
    assert len(heard) == 2
    made = back_up(filled, objects, target)
    assert made.rows == sum(map(len, rows.values()))
    assert len(made.tables["words"]) > 1
    lose(filled, objects)
    assert recordings(objects) == {}
    assert restore(filled, objects, target) == made
    assert contents(filled) == rows
    assert recordings(objects) == heard
    assert {hit.session_id for hit in Views(database.connect(filled)).search("kenobi")} == {"one", "two"}


def test_a_backup_of_postgresql_goes_into_sqlite_too(filled: str, objects: ObjectStore, folder: Callable[[str], ObjectStore], tmp_path: Path) -> None:
    target, other = folder("backup"), f"sqlite:///{tmp_path / 'other.db'}"
    back_up(filled, objects, target)
    restore(other, ObjectStore((tmp_path / "others").as_uri()), target)
    assert contents(other) == contents(filled)


def test_a_backup_is_of_one_moment_and_the_log_brings_the_rest(filled: str, objects: ObjectStore, folder: Callable[[str], ObjectStore]) -> None:
    """A session is stored while the backup is written. After the restore the projector reads the log again: nothing twice, nothing lost."""
    rows, engine, target = contents(filled), database.connect(filled), folder("backup")

    class Slow:
        def __init__(self) -> None:
            self.get, self.is_first = target.get, True

        def put(self, name: str, content: bytes) -> None:
            if self.is_first:
                self.is_first = False
                ResultProjection(engine).project(session("meanwhile"))
            target.put(name, content)

    back_up(filled, objects, Slow())  # type: ignore[arg-type]
    full = contents(filled)
    lose(filled, objects)
    engine.dispose()
    restore(filled, objects, target)
    assert contents(filled) == rows
    engine = database.connect(filled)
    for session_id in ("one", "two", "three", "meanwhile"):
        ResultProjection(engine).project(session(session_id))
    varying = {"created_at", "updated_at", "completed_at"}

    def stable(found: dict[str, list[dict[str, Any]]]) -> Any:
        return {table: [{k: v for k, v in row.items() if k not in varying} for row in of] for table, of in found.items()}

    assert stable(contents(filled)) == stable(full)
    engine.dispose()


def test_a_backup_of_an_older_version_is_brought_forward(filled: str, objects: ObjectStore, folder: Callable[[str], ObjectStore]) -> None:
    target, rows = folder("backup"), contents(filled)
    back_up(filled, objects, target)
    manifest = json.loads(target.get(backup.MANIFEST) or b"")
    manifest["version"] = "0002"
    for table in ("deletions", "deleted_sessions"):
        del manifest["tables"][table]
    (part,) = manifest["tables"]["sessions"]
    marks = ("deleted_at", "text_deleted_at", "audio_deleted_at")
    lines = gzip.decompress(target.get(part["name"]) or b"").decode().splitlines()
    older = [{name: value for name, value in json.loads(line).items() if name not in marks} for line in lines]
    content = gzip.compress("".join(json.dumps(row) + "\n" for row in older).encode())
    target.put(part["name"], content)
    part["sha256"] = hashlib.sha256(content).hexdigest()
    target.put(backup.MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(NotRestorable, match="without tables"):
        restore(filled, objects, target)
    lose(filled, objects)
    restore(filled, objects, target)
    assert migrations.current(filled) == migrations.newest()
    found = contents(filled)
    assert found["words"] == rows["words"]
    assert found["sessions"] == [row | dict.fromkeys(marks) for row in rows["sessions"]]


def test_what_cannot_be_restored_is_said_before_anything_is_written(filled: str, objects: ObjectStore, folder: Callable[[str], ObjectStore]) -> None:
    target, rows = folder("backup"), contents(filled)
    with pytest.raises(NotRestorable, match=r"no manifest\.json"):
        restore(filled, objects, target)
    made = back_up(filled, objects, target)
    with pytest.raises(NotRestorable, match="name an empty folder"):
        back_up(filled, objects, target)
    with pytest.raises(NotRestorable, match="not empty"):
        restore(filled, objects, target)
    assert contents(filled) == rows
    lose(filled, objects)
    part = made.tables["words"][0].name
    whole = target.get(part) or b""
    target.put(part, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(NotRestorable, match="was changed"):
        restore(filled, objects, target)
    assert migrations.current(filled) == ""
    target.put(part, whole)
    (name, *_) = target.list("objects")
    target.put(name, b"another recording")
    with pytest.raises(NotRestorable, match="was changed"):
        restore(filled, objects, target)
    assert contents(filled)["sessions"] == []
    manifest = json.loads(target.get(backup.MANIFEST) or b"")
    target.put(backup.MANIFEST, json.dumps(manifest | {"version": "9999"}).encode())
    with pytest.raises(NotRestorable, match="newer Voxrelay"):
        restore(filled, objects, target)


# --- reading again from Kafka ------------------------------------------------------------------------------------------------


class _Nobody:
    def assigned(self, sources: Any) -> dict[TopicPartition, int]:
        return {}

    def revoked(self, sources: Any) -> None:
        pass

    lost = revoked


@pytest.mark.services
def test_a_group_is_set_back_to_a_time_unless_it_is_at_work(kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from voxrelay.bus import kafka

    bus, topic, group = kafka.KafkaBus(kafka_bootstrap), f"rewind.{unique}", f"rewind-{unique}"
    bus.create_topics([TopicSpec(topic, 1, {}, "")])
    source, producer = TopicPartition(topic, 0), bus.producer()
    for number in range(3):
        producer.send(topic, b"key", b"before %d" % number)
    producer.flush()
    since = time.time() + 0.001
    while time.time() < since + 0.01:
        pass  # the log's clock counts milliseconds
    for number in range(4):
        producer.send(topic, b"key", b"after %d" % number)
    producer.flush()
    producer.close()
    consumer = bus.subscribe(group, [topic], _Nobody())
    seen = 0
    while seen < 7:
        seen += len(consumer.poll())
    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="end its members first"):
        patch.setattr(kafka, "LEAVE_WITHIN_S", 0.5)
        bus.rewind(group, [topic], since)
    consumer.commit({source: 7})
    consumer.close()
    assert bus.lag(group, [topic]) == 0
    assert bus.rewind(group, [topic], since) == 4
    assert bus.lag(group, [topic]) == 4
    assert bus.rewind(group, [topic], time.time() + 3600) == 0
