"""Every implementation of the bus, the database and the object store, for the suites that all of a kind must pass."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from voxrelay.bus.api import Bus
from voxrelay.bus.memory import MemoryBus
from voxrelay.storage.objects import ObjectStore


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.services)])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    from voxrelay.bus.kafka import KafkaBus

    yield KafkaBus(bootstrap)


@pytest.fixture
def unique() -> str:
    """A name no other test uses: the real broker outlives a test."""
    return uuid.uuid4().hex[:12]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path, unique: str) -> Iterator[str]:
    """The address of a database of its own, without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'voxrelay.db'}"
        return
    server = make_url(request.getfixturevalue("postgresql_url"))
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"test_{unique}"
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """The same, migrated."""
    from voxrelay.storage.migrations import migrate

    migrate(empty_database_url)
    return empty_database_url


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.services)])
def objects(request: pytest.FixtureRequest, tmp_path: Path, unique: str) -> ObjectStore:
    if request.param == "file":
        return ObjectStore((tmp_path / "objects").as_uri())
    if request.param == "memory":
        return ObjectStore("memory:///")
    url = request.getfixturevalue("object_store_url")
    return ObjectStore(f"{url.rstrip('/')}/{unique}")
