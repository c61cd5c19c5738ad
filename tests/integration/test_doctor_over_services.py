"""voxrelay doctor on a real broker, PostgreSQL and S3 server: sound ones, and each broken in turn."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from voxrelay.bus.api import TopicPartition
from voxrelay.bus.kafka import KafkaBus
from voxrelay.bus.kafka_inspection import KafkaInspection
from voxrelay.doctor import broker, stores
from voxrelay.doctor.report import Finding
from voxrelay.settings import PlatformSettings
from voxrelay.storage.migrations import migrate
from voxrelay.topology import HOUR_MS, TopicSpec

pytestmark = pytest.mark.services


def said(found: Collection[Finding]) -> dict[str, str]:
    return {line.code: line.sentence for line in found}


@pytest.fixture
def unique() -> str:
    return uuid.uuid4().hex[:12]


# --- Kafka ---------------------------------------------------------------------------------------------------------------------


def spec(name: str, partitions: int = 2, policy: str = "delete", **settings: str) -> TopicSpec:
    return TopicSpec(
        name, partitions, {"cleanup.policy": policy, "retention.ms": str(HOUR_MS)} | {k.replace("_", "."): v for k, v in settings.items()}, ""
    )


def test_topics_as_they_are_on_a_real_broker(kafka_bootstrap: str, unique: str) -> None:
    bus, inspection = KafkaBus(kafka_bootstrap), KafkaInspection(kafka_bootstrap, 30.0)
    first, second = spec(f"doctor.{unique}.a"), spec(f"doctor.{unique}.b", policy="compact,delete", segment_ms="600000")
    wanted = [first, second]
    bus.create_topics(wanted)
    assert said(broker.broker(inspection, kafka_bootstrap, 1)).keys() == {"BROKER_ANSWERS"}
    assert "copies" in said(broker.broker(inspection, kafka_bootstrap, 3))["BROKERS_TOO_FEW"]
    assert said(broker.topics(inspection, wanted, 1)).keys() == {"TOPICS_AGREE"}

    broken = {
        "TOPICS_MISSING": [*wanted, spec(f"doctor.{unique}.c")],
        "TOPICS_PARTITIONS_FEWER": [replace(first, partitions=3), replace(second, partitions=3)],
        "TOPICS_PARTITIONS_MORE": [replace(first, partitions=1), replace(second, partitions=1)],
        "TOPICS_CLEANUP": [replace(first, config=first.config | {"cleanup.policy": "compact"}), second],
        "TOPICS_RETENTION": [replace(first, config=first.config | {"retention.ms": "1"}), second],
        "TOPICS_SETTINGS": [first, replace(second, config=second.config | {"segment.ms": "1"})],
    }
    for code, specs in broken.items():
        sentences = said(broker.topics(inspection, specs, 1))
        assert sentences.keys() == {code}, sentences
        assert f"doctor.{unique}" in sentences[code]
    assert said(broker.topics(inspection, wanted, 2)).keys() == {"TOPICS_REPLICATION"}


class _Nobody:
    def assigned(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {}

    def revoked(self, sources: Collection[TopicPartition]) -> None:
        pass

    lost = revoked


def test_who_is_in_a_group_on_a_real_broker(kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bus, inspection = KafkaBus(kafka_bootstrap), KafkaInspection(kafka_bootstrap, 30.0)
    bus.create_topics([spec(f"doctor.{unique}.a")])
    consumer = bus.subscribe(f"at-work-{unique}", [f"doctor.{unique}.a"], _Nobody())
    while not inspection.members([f"at-work-{unique}"])[f"at-work-{unique}"]:
        consumer.poll()
    assert inspection.members([f"at-work-{unique}", f"nobody-{unique}"]) == {f"at-work-{unique}": 1, f"nobody-{unique}": 0}
    monkeypatch.setattr(broker, "expected_groups", lambda _: [f"at-work-{unique}", f"nobody-{unique}"])
    assert said(broker.groups(inspection, ("live",))) == {"GROUPS_EMPTY": f"Nobody works in nobody-{unique}: start these services."}
    consumer.close()


# --- PostgreSQL and S3 ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def database_url(postgresql_url: str, unique: str) -> Iterator[str]:
    server = make_url(postgresql_url)
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE doctor_{unique}"))
    yield server.set(database=f"doctor_{unique}").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE doctor_{unique} WITH (FORCE)"))
    engine.dispose()


def platform(**settings: object) -> PlatformSettings:
    return PlatformSettings().model_copy(update=settings)


def test_a_real_database_that_is_empty_not_writable_or_not_there(database_url: str) -> None:
    here = platform(database_url=database_url)
    assert said(stores.database(here)).keys() == {"DATABASE_EMPTY"}
    migrate(database_url)
    assert said(stores.database(here)).keys() == {"DATABASE_CURRENT"}
    assert "the database's" in stores.clock(here)[0].sentence
    engine = create_engine(make_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("REVOKE INSERT ON sessions FROM current_user"))
    engine.dispose()
    assert "permission denied" in said(stores.database(here))["DATABASE_NOT_WRITABLE"]
    there_is_none = make_url(database_url).set(database="none").render_as_string(hide_password=False)
    sentence = said(stores.database(platform(database_url=there_is_none)))["DATABASE_SILENT"]
    assert "does not exist" in sentence
    assert str(make_url(database_url).password) not in sentence


def test_a_clock_that_is_wrong(database_url: str, object_store_url: str) -> None:
    here = platform(database_url=database_url, object_store_url=object_store_url)
    found = stores.clock(here, lambda: time.time() + 60)
    assert [line.code for line in found] == ["CLOCK_DIFFERS", "CLOCK_DIFFERS"]
    assert "the database's: set both by NTP" in found[0].sentence
    assert [line.code for line in stores.clock(here)] == ["CLOCK_AGREES", "CLOCK_AGREES"]


def test_a_real_bucket_that_works_is_not_there_or_refuses(object_store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(stores.objects(platform(object_store_url=object_store_url))).keys() == {"OBJECTS_WORK"}
    sentence = said(stores.objects(platform(object_store_url="s3://no-such-bucket/")))["OBJECTS_NOT_WRITTEN"]
    assert "s3://no-such-bucket/" in sentence
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    sentence = said(stores.objects(platform(object_store_url=object_store_url)))["OBJECTS_NOT_WRITTEN"]
    assert "not-the-secret" not in sentence
