"""Deleting for good, on PostgreSQL and SQLite: what goes, what stays, what comes back (nothing), and the proof."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, func, select, text

from services.projector.archive import ArchiveStage, object_name
from services.projector.housekeeping import Housekeeping
from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay.bus.api import Bus, Record, TopicPartition
from voxrelay.errors import Unavailable
from voxrelay.events import AudioDenoised, Event, Payload, SessionConfig, SessionOpened, UtteranceEnded, UtteranceStarted
from voxrelay.runner.checkpoints import CheckpointLog
from voxrelay.runner.sessions import Checkpoint
from voxrelay.runner.tombstones import forget_checkpoints
from voxrelay.storage import database, deletion, retention
from voxrelay.storage.deletion import TABLES, Deletions, proof_json
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.retention import DAY_S, RetentionSettings
from voxrelay.storage.views import Views
from voxrelay.topology import ARCHIVE, TRANSCRIBE, checkpoint_topic, topic_specs

SAID = ("kenobi", "hello", "bold", "positive", "male")
OF_SPEECH = [table for tables in TABLES.values() for table in tables]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = database.connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def deletions(engine: Engine) -> Deletions:
    return Deletions(engine)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "objects").as_uri())


def keep(engine: Engine, store: ObjectStore, *session_ids: str, opened_at: float = 1_700_000_000.0, owner: str = "key1") -> None:
    """Sessions as the projector keeps them, each with the recording of one utterance."""
    for session_id in session_ids:
        events = session(session_id, opened_at)
        events[0] = replace(events[0], payload=SessionOpened(SessionConfig(language="en", owner=owner), opened_at))
        ResultProjection(engine).project(events)
        record(engine, store, session_id)


def record(engine: Engine, store: ObjectStore, session_id: str) -> None:
    pcm = np.random.default_rng(1).integers(-9000, 9000, 16_000, dtype=np.int16).tobytes()
    payloads: list[Payload] = [
        SessionOpened(SessionConfig()),
        AudioDenoised(0, pcm),
        UtteranceStarted("u1", 0),
        UtteranceEnded("u1", 0, 16_000, "end"),
    ]
    with ThreadPoolExecutor(1) as uploads:
        stage = ArchiveStage(store, engine, uploads)
        list(stage.process([Event(session_id, payload, "denoise", n, f"a{n}", 0.0) for n, payload in enumerate(payloads, 1)]))


def rows_of(engine: Engine, session_id: str) -> dict[str, int]:
    with engine.connect() as connection:
        counted = {table.name: connection.execute(select(func.count()).where(table.c.session_id == session_id)).scalar_one() for table in OF_SPEECH}
    return {name: count for name, count in counted.items() if count}


def test_a_deleted_session_leaves_its_account_and_a_proof(engine: Engine, deletions: Deletions, store: ObjectStore) -> None:
    keep(engine, store, "one", "two")
    views = Views(engine)
    before, used = rows_of(engine, "one"), views.usage()
    assert len(before) == len(OF_SPEECH)
    begun = deletions.session("one", "key key1")
    assert begun is not None
    assert begun.finished_at is None  # its recordings are still there
    assert deletions.finish(store) == 1
    proof = deletions.proof(begun.deletion_id)
    assert proof is not None
    assert proof.finished_at is not None
    assert (proof.requested_by, proof.reason, proof.selector, proof.parts) == ("key key1", "session", "one", deletion.WHOLE)
    (of_one,) = proof.sessions
    assert (of_one.session_id, of_one.rows, of_one.objects) == ("one", before, 1)
    assert of_one.object_bytes > 10_000
    assert of_one.deleted_at is not None
    assert not any(word in json.dumps(proof_json(proof)) for word in SAID)

    assert rows_of(engine, "one") == {}
    assert rows_of(engine, "two") == before
    assert store.list("sessions") == [object_name("two", "u1")]
    assert views.session("one") is None
    assert [summary.session_id for summary in views.sessions()] == ["two"]
    assert {hit.session_id for hit in views.search("kenobi")} == {"two"}
    assert views.usage() == used  # or whoever deletes would be given minutes again


def test_deleting_again_changes_nothing(engine: Engine, deletions: Deletions, store: ObjectStore) -> None:
    keep(engine, store, "one")
    deletions.session("one", "somebody")
    deletions.finish(store)
    proof = deletions.proof_of("one")
    assert deletions.session("one", "somebody else") is None
    assert list(deletions.key("key1", "somebody else")) == []
    assert deletions.finish(store) == 0
    assert [proof] == list(deletions.proofs())
    assert proof_json(deletions.proof_of("one") or pytest.fail("no proof")) == proof_json(proof or pytest.fail("no proof"))


def test_nothing_comes_back_when_the_log_is_read_again(engine: Engine, deletions: Deletions, store: ObjectStore) -> None:
    keep(engine, store, "one")
    deletions.session("one", "somebody")
    deletions.finish(store)
    keep(engine, store, "one")
    assert rows_of(engine, "one") == {}
    assert store.list("sessions") == []
    assert Views(engine).session("one") is None


def test_a_session_that_is_not_stored_yet_never_will_be(engine: Engine, deletions: Deletions, store: ObjectStore) -> None:
    proof = deletions.session("one", "somebody")
    assert proof is not None
    assert proof.sessions[0].rows == {}
    keep(engine, store, "one")
    deletions.finish(store)
    assert rows_of(engine, "one") == {}
    assert store.list("sessions") == []
    (of_key,) = Views(engine).usage()
    assert (of_key.owner, of_key.audio_seconds) == ("key1", 5.5)  # what it used counts


@pytest.mark.parametrize("seed", range(3))
def test_a_projector_that_writes_at_the_same_time_leaves_nothing(seed: int, database_url: str, store: ObjectStore) -> None:
    chance = random.Random(seed)
    events = session("one")
    chance.shuffle(events)
    failures: list[BaseException] = []

    def project() -> None:
        engine = database.connect(database_url)
        try:
            for start in range(0, len(events), 3):
                ResultProjection(engine).project(events[start : start + 3])
                record(engine, store, "one")
        except BaseException as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=project) for _ in range(2)]
    for thread in threads:
        thread.start()
    engine = database.connect(database_url)
    deletions = Deletions(engine)
    deletions.session("one", "somebody")
    deletions.finish(store)
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows_of(engine, "one") == {}
    assert store.list("sessions") == []
    engine.dispose()


class _Stubborn:
    """An object store that does not delete."""

    def __init__(self, store: ObjectStore) -> None:
        self.sizes = store.sizes

    def remove(self, names: Sequence[str]) -> None:
        raise Unavailable("The object store did not delete objects.")


def test_what_was_begun_is_finished_later_and_counted_once(engine: Engine, deletions: Deletions, store: ObjectStore) -> None:
    keep(engine, store, "one")
    deletions.session("one", "somebody")
    with pytest.raises(Unavailable):
        deletions.finish(_Stubborn(store))  # type: ignore[arg-type]
    proof = deletions.proof_of("one")
    assert proof is not None
    assert proof.finished_at is None
    assert proof.sessions[0].objects == 1
    store.delete("sessions/one")  # as after a crash between removing and saying so
    Housekeeping(deletions, store, RetentionSettings(), is_retention_daily=False).look()
    proof = deletions.proof_of("one")
    assert proof is not None
    assert proof.finished_at is not None
    assert proof.sessions[0].objects == 1


def test_all_of_a_key_some_at_a_time(engine: Engine, deletions: Deletions, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "MOST_IN_A_PROOF", 2)
    keep(engine, store, *"abcde")
    keep(engine, store, "other", owner="key2")
    assert deletions.count_key("key1") == 5
    proofs = list(deletions.key("key1", "somebody"))
    deletions.finish(store)
    assert [len(proof.sessions) for proof in proofs] == [2, 2, 1]
    assert store.list("sessions") == [object_name("other", "u1")]
    assert all(proof.finished_at for proof in deletions.proofs())


def test_what_is_due_is_found_by_an_index(engine: Engine, deletions: Deletions) -> None:
    """Or each step would read everything that was deleted before."""
    with engine.begin() as connection:
        rows = [{"session_id": f"s{n}", "created_at": float(n), "audio_deleted_at": 1.0 if n < 4900 else None} for n in range(5000)]
        connection.execute(database.sessions.insert(), rows)
        is_postgresql = engine.dialect.name == "postgresql"
        if is_postgresql:
            connection.execute(text("ANALYZE sessions"))
        due = "SELECT session_id FROM sessions WHERE coalesce(opened_at, created_at) < 4950 AND audio_deleted_at IS NULL"
        plan = connection.execute(text(f"EXPLAIN {'' if is_postgresql else 'QUERY PLAN '}{due} ORDER BY coalesce(opened_at, created_at) LIMIT 50"))
        assert "sessions_due_audio_deleted_at" in str(plan.all())
    assert deletions.count_before(4950.0, ["audio"]) == 50


def test_proofs_come_in_order_however_many_there_are(engine: Engine, deletions: Deletions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "MOST_IN_A_PROOF", 2)
    at_one_moment = Deletions(engine, clock=lambda: 1000.0)
    for number in range(5):
        at_one_moment.session(f"s{number}", "somebody")
    assert len({proof.deletion_id for proof in deletions.proofs()}) == 5
    assert [proof.deletion_id for proof in deletions.proofs()] == sorted(proof.deletion_id for proof in deletions.proofs())
    assert list(deletions.proofs(since=1001.0)) == []


def test_retention_removes_each_part_in_its_time(engine: Engine, deletions: Deletions, store: ObjectStore) -> None:
    now = 1_700_000_000.0
    keep(engine, store, "new", opened_at=now - 1 * DAY_S)
    keep(engine, store, "older", opened_at=now - 8 * DAY_S)
    keep(engine, store, "oldest", opened_at=now - 31 * DAY_S)
    settings = RetentionSettings(audio_days=7, text_days=30)
    assert retention.due(deletions, settings, now) == {"audio": 2, "text": 1}
    assert retention.due(deletions, RetentionSettings(), now) == {}
    housekeeping = Housekeeping(deletions, store, settings, is_retention_daily=True, clock=lambda: now)
    housekeeping.look()
    assert store.list("sessions") == [object_name("new", "u1")]
    assert "transcripts" in rows_of(engine, "older")
    assert "recordings" not in rows_of(engine, "older")
    assert rows_of(engine, "oldest") == {}
    assert {summary.session_id for summary in Views(engine).sessions()} == {"new", "older", "oldest"}
    assert retention.due(deletions, settings, now) == {"audio": 0, "text": 0}
    made = list(deletions.proofs())
    housekeeping.look()
    assert list(deletions.proofs()) == made
    record(engine, store, "older")  # the log is read again
    assert store.list("sessions") == [object_name("new", "u1")]


def test_the_file_of_sqlite_holds_no_deleted_word(tmp_path: Path, store: ObjectStore) -> None:
    from voxrelay.storage.migrations import migrate

    url = f"sqlite:///{tmp_path / 'voxrelay.db'}"
    migrate(url)
    engine = database.connect(url)
    keep(engine, store, "one")

    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("voxrelay.db*"))

    assert b"kenobi" in on_disk()
    deletions = Deletions(engine)
    deletions.session("one", "somebody")
    deletions.finish(store)
    assert b"kenobi" not in on_disk()
    engine.dispose()


def test_tombstones_go_where_the_checkpoints_lie(bus: Bus, unique: str) -> None:
    bus.create_topics(topic_specs(8))
    session_id = f"one-{unique}"
    topic = checkpoint_topic(TRANSCRIBE, "live")
    sources = [TopicPartition(topic, number) for number in range(bus.partitions(topic))]
    starts = {source: end for source, (_, end) in bus.offsets(sources).items()}
    producer = bus.producer()
    producer.send("speech.audio.received.v1", session_id.encode(), b"not read here")  # where the session's records lie
    (place,) = {number for number in range(8) if _has(bus, "speech.audio.received.v1", number, session_id)} if not producer.flush() else ()
    checkpoint = Checkpoint(session_id, 7, {"denoise": 3}, 5, b"what was said so far")
    CheckpointLog(bus, producer, topic).write(place, checkpoint)
    producer.flush()
    forget_checkpoints(bus, [session_id])
    written = [record for source in sources for record in _records(bus, source, starts[source]) if record.key == session_id.encode()]
    assert [(record.partition, record.value is None) for record in written] == [(place, False), (place, True)]
    assert [found.session_id for found in CheckpointLog(bus, producer, topic).read(place) if found.session_id == session_id] == [session_id]
    assert _has(bus, checkpoint_topic(ARCHIVE, "bulk"), place, session_id)
    forget_checkpoints(bus, [])


def _records(bus: Bus, source: TopicPartition, start: int) -> list[Record]:
    end = bus.offsets([source])[source][1]
    consumer, found, seen = bus.read({source: start}), [], start
    while seen < end:
        for record in consumer.poll():
            seen = record.offset + 1
            found.append(record)
    consumer.close()
    return found


def _has(bus: Bus, topic: str, number: int, session_id: str) -> bool:
    source = TopicPartition(topic, number)
    first, end = bus.offsets([source])[source]
    return any(record.key == session_id.encode() for record in _records(bus, source, max(first, end - 50)))
