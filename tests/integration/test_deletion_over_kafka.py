"""A session that was deleted is on a real log still: projected anew from there into PostgreSQL and S3, nothing of it comes back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from services.projector.archive import ArchiveStage
from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay import codec
from voxrelay.bus.kafka import KafkaBus
from voxrelay.events import AudioDenoised, Event, Payload, SessionConfig, SessionEnded, SessionOpened, UtteranceEnded, UtteranceStarted
from voxrelay.runner import ProjectionRunner, StageRunner
from voxrelay.storage import database
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.migrations import migrate
from voxrelay.storage.objects import ObjectStore
from voxrelay.storage.views import Views
from voxrelay.topology import ARCHIVE, AUDIO_DENOISED, PROJECTOR, ProjectionNode, TopicSpec, checkpoint_topic

pytestmark = pytest.mark.services

PARTITIONS = 2


@pytest.fixture
def engine(postgresql_url: str) -> Iterator[Engine]:
    server, name = make_url(postgresql_url), f"deletion_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.set(database=name).render_as_string(hide_password=False)
    migrate(url)
    engine = database.connect(url)
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


class Log:
    """The topics that the projector reads, under names of their own: others' sessions on this broker are not projected here."""

    def __init__(self, bootstrap: str) -> None:
        self.bus, unique = KafkaBus(bootstrap), uuid.uuid4().hex[:8]
        self.results = tuple(replace(topic, entity=f"{unique}.{topic.entity}") for topic in PROJECTOR.reads)
        self.audio = replace(AUDIO_DENOISED, entity=f"{unique}.audio")
        self.bus.create_topics([TopicSpec(topic.name("live"), PARTITIONS, {}, "") for topic in (*self.results, self.audio)])

    def publish(self, session_id: str) -> None:
        """What the stages would have published of it, results and one utterance of audio."""
        producer = self.bus.producer()
        for event in session(session_id):
            for topic in self.results:
                if type(event.payload) in topic.payloads:
                    key, value, headers = codec.encode(event, topic.encoding)
                    producer.send(topic.name("live"), key, value, headers)
        pcm = np.random.default_rng(1).integers(-9000, 9000, 16_000, dtype=np.int16).tobytes()
        heard: list[Payload] = [SessionOpened(SessionConfig()), UtteranceStarted("u1", 0), AudioDenoised(0, pcm)]
        heard += [UtteranceEnded("u1", 0, 16_000, "end"), SessionEnded()]
        for number, payload in enumerate(heard, 1):
            event = Event(session_id, payload, "denoise", number, f"{session_id}-{number}", 0.0)
            key, value, headers = codec.encode(event, self.audio.encoding)
            producer.send(self.audio.name("live"), key, value, headers)
        producer.flush()
        producer.close()


def project_everything(log: Log, engine: Engine, store: ObjectStore) -> None:
    """By a projector that has never run before: from the first record of the log to the last."""
    bus, unique = log.bus, uuid.uuid4().hex[:8]
    results = ProjectionNode(f"projector-{unique}", "projector", log.results)
    heard = replace(ARCHIVE, name=f"archive-{unique}", reads=log.audio)
    bus.create_topics([TopicSpec(checkpoint_topic(heard, "live"), PARTITIONS, {"cleanup.policy": "compact"}, "")])
    stop = threading.Event()
    with ThreadPoolExecutor(4) as uploads:
        runners = [
            ProjectionRunner(bus, results, "live", ResultProjection(engine)),
            StageRunner(bus, heard, "live", ArchiveStage(store, engine, uploads)),
        ]
        threads = [threading.Thread(target=runner.run, args=(stop,)) for runner in runners]
        for thread in threads:
            thread.start()
        pause = threading.Event()
        while bus.lag(results.name, [topic.name("live") for topic in results.reads]) or bus.lag(heard.name, [heard.reads.name("live")]):
            assert all(thread.is_alive() for thread in threads)
            pause.wait(0.2)
        stop.set()
        for thread in threads:
            thread.join()


def test_a_deleted_session_does_not_come_back_from_the_log(kafka_bootstrap: str, engine: Engine, object_store_url: str) -> None:
    log, store = Log(kafka_bootstrap), ObjectStore(f"{object_store_url.rstrip('/')}/{uuid.uuid4().hex}")
    deleted, kept = uuid.uuid4().hex, uuid.uuid4().hex
    for session_id in (deleted, kept):
        log.publish(session_id)
    project_everything(log, engine, store)
    views, deletions = Views(engine), Deletions(engine)
    before = views.session(kept)
    assert views.session(deleted) is not None
    assert len(store.list(f"sessions/{deleted}")) == len(store.list(f"sessions/{kept}")) == 1
    deletions.session(deleted, "somebody")
    deletions.finish(store)
    for _ in range(2):
        project_everything(log, engine, store)
        assert views.session(deleted) is None
        assert views.utterances(deleted) == []
        assert store.list(f"sessions/{deleted}") == []
        assert views.session(kept) == before
    proof = deletions.proof_of(deleted)
    assert proof is not None
    assert proof.sessions[0].objects == 1
