"""Everything that is stored, copied to another object store and back: rows as JSON lines, recordings as they are.

A backup is a folder: ``rows/<table>/<number>.jsonl.gz``, ``objects/<name>``, ``objects-<number>.jsonl.gz`` (names, sizes, digests), and last
``manifest.json``. Without its manifest it is none. The same backup goes into PostgreSQL and into SQLite.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, MetaData, Table, select
from sqlalchemy.exc import SAWarning

from voxrelay.storage import database, migrations
from voxrelay.storage.database import answering
from voxrelay.storage.objects import ObjectStore

FORMAT = 1
MANIFEST = "manifest.json"
ROWS_IN_A_PART = 5000
OBJECTS_IN_A_PART = 500
COPIES = 8  # objects on their way at once
TRANSIENT = (database.requests_by_minute, database.places)  # of the minute, and of gateways that run
Item = TypeVar("Item")


class NotRestorable(Exception):
    """This backup cannot be restored here; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class PartFile:
    name: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``version`` is the database's revision; ``created_at`` (seconds since the epoch) is when the rows were as they are here."""

    version: str
    created_at: float
    tables: dict[str, list[PartFile]] = field(default_factory=dict)
    objects: list[PartFile] = field(default_factory=list)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        return sum(part.rows for parts in self.tables.values() for part in parts)

    @property
    def recordings(self) -> int:
        return sum(part.rows for part in self.objects)


def back_up(url: str, objects: ObjectStore, target: ObjectStore, clock: Callable[[], float] = time.time) -> Manifest:
    """The rows of one moment, and the recordings they name; one that is deleted meanwhile is left out.

    Services may go on. Raises ``NotRestorable`` where there is a backup already, or the database is of another version; ``Unavailable``.
    """
    if target.get(MANIFEST) is not None:
        raise NotRestorable("There is a backup already: name an empty folder.")
    version = migrations.current(url)
    if version != migrations.newest():
        raise NotRestorable(f"The database is at version '{version}', this Voxrelay needs '{migrations.newest()}': run 'voxrelay database migrate'.")
    manifest = Manifest(version, clock())
    engine = database.connect(url, is_read_only=True)
    try:
        with answering(), engine.connect().execution_options(**_snapshot(engine)) as connection:
            for table in _tables():
                rows = connection.execution_options(yield_per=ROWS_IN_A_PART).execute(select(table).order_by(*table.primary_key.columns)).mappings()
                manifest.tables[table.name] = list(_write_parts(target, f"rows/{table.name}/", (dict(row) for row in rows), ROWS_IN_A_PART))
            recordings = connection.execution_options(yield_per=OBJECTS_IN_A_PART).execute(select(database.recordings.c.object))
            manifest.objects.extend(_write_parts(target, "objects-", _copied(objects, target, recordings.scalars()), OBJECTS_IN_A_PART))
    finally:
        engine.dispose()
    target.put(MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
    return manifest


def restore(url: str, objects: ObjectStore, source: ObjectStore) -> Manifest:
    """Into an empty database, of any version for a backup of this one, without tables for one of an older version, which is then migrated.

    All digests are checked before anything is written. Rows appear all at once, after the recordings. Raises ``NotRestorable``, ``Unavailable``.
    """
    manifest = _manifest(source)
    for part in (part for parts in (*manifest.tables.values(), manifest.objects) for part in parts):
        _read_part(source, part)
    _prepare(url, manifest.version)
    engine = database.connect(url)
    try:
        for part in manifest.objects:
            with ThreadPoolExecutor(COPIES) as pool:
                list(pool.map(lambda entry: _put_back(source, objects, entry), _read_part(source, part)))
        with answering(), engine.begin() as connection:
            tables = MetaData()
            with warnings.catch_warnings(action="ignore", category=SAWarning):  # SQLite's indices over expressions are of no interest here
                tables.reflect(connection, only=list(manifest.tables))
            for name, parts in manifest.tables.items():
                for part in parts:
                    connection.execute(tables.tables[name].insert(), list(_read_part(source, part)))
        migrations.migrate(url)
    finally:
        engine.dispose()
    return manifest


def _tables() -> Sequence[Table]:
    return [table for table in database.metadata.sorted_tables if table not in TRANSIENT]


def _snapshot(engine: Engine) -> dict[str, Any]:
    """SQLite's readers see one moment anyway."""
    return {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}


# --- writing -------------------------------------------------------------------------------------------------------------------


def _write_parts(target: ObjectStore, prefix: str, rows: Iterable[dict[str, Any]], size: int) -> Iterator[PartFile]:
    for number, some in enumerate(_batches(rows, size), 1):
        content = gzip.compress("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some).encode(), mtime=0)
        part = PartFile(f"{prefix}{number:06d}.jsonl.gz", len(some), hashlib.sha256(content).hexdigest())
        target.put(part.name, content)
        yield part


def _copied(objects: ObjectStore, target: ObjectStore, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    def copy(name: str) -> dict[str, Any] | None:
        content = objects.get(name)
        if content is None:
            return None
        target.put(f"objects/{name}", content)
        return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    with ThreadPoolExecutor(COPIES) as pool:
        for some in _batches(names, OBJECTS_IN_A_PART):
            yield from (entry for entry in pool.map(copy, some) if entry is not None)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


# --- reading -------------------------------------------------------------------------------------------------------------------


def _manifest(source: ObjectStore) -> Manifest:
    content = source.get(MANIFEST)
    if content is None:
        raise NotRestorable("There is no backup here, or it was not finished: no manifest.json.")
    read: dict[str, Any] = json.loads(content)
    if read.get("format") != FORMAT or read.get("version") not in migrations.all_versions():
        raise NotRestorable("This backup is of a newer Voxrelay: restore it with that one.")
    tables = {name: [PartFile(**part) for part in parts] for name, parts in read["tables"].items()}
    return Manifest(read["version"], read["created_at"], tables, [PartFile(**part) for part in read["objects"]])


def _read_part(source: ObjectStore, part: PartFile) -> Iterator[dict[str, Any]]:
    content = source.get(part.name)
    if content is None or hashlib.sha256(content).hexdigest() != part.sha256:
        raise NotRestorable(f"{part.name} of the backup is missing or was changed: take another backup.")
    return (json.loads(line) for line in gzip.decompress(content).decode().splitlines())


def _put_back(source: ObjectStore, objects: ObjectStore, entry: dict[str, Any]) -> None:
    content = source.get(f"objects/{entry['name']}")
    if content is None or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise NotRestorable(f"objects/{entry['name']} of the backup is missing or was changed: take another backup.")
    objects.put(entry["name"], content)


def _prepare(url: str, version: str) -> None:
    """The tables of this version, empty."""
    found = migrations.current(url)
    if not found:
        migrations.migrate(url, version)
        return
    if found != version:
        raise NotRestorable(f"The backup is of version {version}, the database of {found}: restore into a database without tables.")
    engine = database.connect(url, is_read_only=True)
    try:
        with answering(), engine.connect() as connection:
            full = [table.name for table in _tables() if _has_rows(connection, table)]
    finally:
        engine.dispose()
    if full:
        raise NotRestorable(f"The database is not empty ({', '.join(full[:3])}): restore into a new one.")


def _has_rows(connection: Connection, table: Table) -> bool:
    return connection.execute(select(*table.primary_key.columns).limit(1)).first() is not None
