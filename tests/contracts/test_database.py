"""The schema, what the projector writes and what the views read, on PostgreSQL and on SQLite."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, select, text

from services.projector.projection import ResultProjection
from tests.stored import classified, diarized, session, transcribed
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import Attribute, Event, Payload, SessionConfig, SessionOpened, StageFinished, SynthesisRequested, UtteranceStarted
from voxrelay.storage import database, migrations
from voxrelay.storage.views import Views

RAW = ("by_word", "sessions_due")  # made by SQL of their own
VARYING = {"created_at", "updated_at", "completed_at"}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = database.connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def views(database_url: str) -> Iterator[Views]:
    engine = database.connect(database_url, is_read_only=True)
    yield Views(engine)
    engine.dispose()


def _contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    with engine.connect() as connection:
        return {
            table.name: sorted(
                ({name: value for name, value in row.items() if name not in VARYING} for row in connection.execute(select(table)).mappings()),
                key=repr,
            )
            for table in database.metadata.sorted_tables
        }


# --- migrations ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")  # SQLAlchemy reads no index over an expression from SQLite
def test_migrating_makes_the_schema_of_the_code_and_repeats_harmlessly(empty_database_url: str) -> None:
    assert migrations.current(empty_database_url) == ""
    assert migrations.migrate(empty_database_url) == ("", migrations.newest())
    assert migrations.migrate(empty_database_url) == (migrations.newest(), migrations.newest())
    assert migrations.current(empty_database_url) == migrations.newest()
    engine = database.connect(empty_database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: not any(raw in str(name) for raw in RAW), "compare_type": True}
        )
        assert compare_metadata(context, database.metadata) == []
    engine.dispose()


def test_processes_that_migrate_at_once_take_turns(empty_database_url: str) -> None:
    done: list[tuple[str, str]] = []
    threads = [threading.Thread(target=lambda: done.append(migrations.migrate(empty_database_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(before for before, _ in done) == ["", *[migrations.newest()] * 3]


def test_a_database_that_does_not_answer_is_unavailable_and_a_wrong_address_is_said(tmp_path: Any) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        migrations.migrate("postgresql+psycopg://nobody@127.0.0.1:1/none")
    for wrong in ("mysql://host/name", "nonsense"):
        with pytest.raises(EngineUnusable):
            database.connect(wrong)


def test_a_reader_cannot_write(database_url: str) -> None:
    engine = database.connect(database_url, is_read_only=True)
    with pytest.raises(Exception, match=r"read.?only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM sessions"))
    engine.dispose()


# --- what the projector writes -----------------------------------------------------------------------------------------------


def test_the_whole_session_is_kept(engine: Engine, views: Views) -> None:
    ResultProjection(engine).project(session("one"))
    stored = views.session("one")
    assert stored is not None
    assert stored.summary.is_complete
    assert stored.summary.audio_seconds == 5.5
    assert stored.summary.speakers == ("S1", "S2")
    assert [utterance.joined.text for utterance in stored.utterances] == ["hello there general kenobi", "you are a bold one"]
    first = stored.utterances[0]
    assert [word.speaker for word in first.joined.words] == ["S1", "S1", "S2", "S2"]
    assert {a.name: a.value for a in first.joined.attributes} == {"gender": "male", "pitch_hz": 120.5, "sentiment": "positive"}
    assert (first.end_reason, first.snr_db, first.joined.language) == ("pause", 21.5, "en")


@pytest.mark.parametrize("seed", range(6))
def test_order_batches_and_repeats_change_nothing(engine: Engine, seed: int) -> None:
    """Topics are read at different speeds, batches are cut anywhere, and everything may come again."""
    source = random.Random(seed)
    events = session("one") + session("two", 1_700_000_100.0)
    by_topic: dict[str, list[Event]] = {}
    for event in events:
        by_topic.setdefault(event.producer + event.session_id, []).append(event)
    mixed: list[Event] = []
    while any(by_topic.values()):
        mixed.append(source.choice([queue for queue in by_topic.values() if queue]).pop(0))
    projection = ResultProjection(engine)
    place = 0
    while place < len(mixed):
        size = source.randint(1, 7)
        projection.project(mixed[place : place + size])
        if source.random() < 0.4:
            place = max(0, place - source.randint(0, 5))  # a crash between storing and committing
            projection.project(mixed[place : place + size])
        place += size
    seen = _contents(engine)
    for table in database.metadata.sorted_tables:
        with engine.begin() as connection:
            connection.execute(table.delete())
    projection.project(events)
    assert seen == _contents(engine)
    assert all(row["is_complete"] for row in seen["sessions"])


def _event(session_id: str, producer: str, payload: Payload) -> Event:
    return Event(session_id, payload, producer, 1, "id", 1.0)


def test_a_newer_revision_replaces_the_whole_result_and_an_older_one_nothing(engine: Engine, views: Views) -> None:
    projection = ResultProjection(engine)
    projection.project(
        [_event("s", "diarize", diarized("u1", 0.0, "S1", "S2", "S1", revision=2)), _event("s", "transcribe", transcribed("u1", 0.0, "a b c", 4))]
    )
    projection.project([_event("s", "diarize", diarized("u1", 0.0, "S3", revision=3)), _event("s", "transcribe", transcribed("u1", 0.0, "a b", 5))])
    projection.project(
        [_event("s", "diarize", diarized("u1", 0.0, "S1", "S1", revision=2)), _event("s", "transcribe", transcribed("u1", 0.0, "x y z", 4))]
    )
    joined = views.utterances("s")[0].joined
    assert [segment.speaker for segment in joined.segments] == ["S3"]
    assert [word.text for word in joined.words] == ["a", "b"]
    projection.project([_event("s", "classify", classified("u1", 0.0, Attribute("pitch_hz", 100.0, 0.5), Attribute("hnr_db", 3.0, 0.5)))])
    projection.project([_event("s", "classify", classified("u1", 0.0, Attribute("pitch_hz", 101.0, 0.6), revision=2))])
    assert views.attributes("s") == {"u1": (Attribute("pitch_hz", 101.0, 0.6),)}


def test_interim_results_are_not_stored(engine: Engine) -> None:
    ResultProjection(engine).project([_event("s", "transcribe", transcribed("u1", 0.0, "half a", is_final=False))])
    assert not any(_contents(engine).values())


def test_a_session_is_complete_only_when_every_stage_it_asked_for_has_finished(engine: Engine, views: Views) -> None:
    projection = ResultProjection(engine)
    projection.project([_event("s", "transcribe", StageFinished("transcribe", 0, 1.0))])
    assert not views.sessions()[0].is_complete  # nobody knows yet what it asked for
    projection.project([_event("s", "denoise", SessionOpened(SessionConfig(stages=("denoise", "transcribe"))))])
    assert not views.sessions()[0].is_complete
    projection.project([_event("s", "denoise", StageFinished("denoise", 0, 1.0))])
    assert views.sessions()[0].is_complete


def test_two_writers_of_one_session_lose_nothing(engine: Engine, views: Views) -> None:
    """Two members of the group hold different topics of the same session and write at the same moment."""
    for number in range(10):
        events = [event for event in session(f"s{number}") if isinstance(event.payload, SessionOpened | StageFinished)]
        threads = [threading.Thread(target=ResultProjection(engine).project, args=([event],)) for event in events]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [summary.is_complete for summary in views.sessions()] == [True] * 10


def test_a_synthesis_is_counted_and_its_text_not_kept(engine: Engine) -> None:
    ResultProjection(engine).project([_event("t", "gateway", SynthesisRequested("read this aloud", "en", owner="key1"))])
    contents = _contents(engine)
    assert contents["syntheses"][0]["characters"] == 15
    assert "aloud" not in repr(contents)
    assert not contents["sessions"]


def test_a_database_without_tables_is_unavailable(empty_database_url: str) -> None:
    engine = database.connect(empty_database_url)
    with pytest.raises(Unavailable):
        ResultProjection(engine).project(session("one"))
    engine.dispose()


# --- what the views read -----------------------------------------------------------------------------------------------------


def test_sessions_are_listed_newest_first_and_page_by_page(engine: Engine, views: Views) -> None:
    times = iter(range(1, 100))
    projection = ResultProjection(engine, clock=lambda: float(next(times)))
    for number in range(5):
        projection.project(session(f"s{number}"))
    assert [s.session_id for s in views.sessions()] == ["s4", "s3", "s2", "s1", "s0"]
    page = views.sessions(limit=2)
    assert [s.session_id for s in views.sessions(limit=2, before=page[-1].session_id)] == ["s2", "s1"]


def test_an_utterance_nobody_has_spoken_about_yet_has_its_times(engine: Engine, views: Views) -> None:
    ResultProjection(engine).project([_event("s", "denoise", UtteranceStarted("u1", 16_000))])
    stored = views.session("s")
    assert stored is not None
    assert (stored.utterances[0].joined.start_s, stored.utterances[0].joined.text) == (1.0, "")
    assert views.session("unknown") is None


def test_words_and_speakers(engine: Engine, views: Views) -> None:
    ResultProjection(engine).project(session("one"))
    assert [word.text for word in views.words("one")] == ["hello", "there", "general", "kenobi", "you", "are", "a", "bold", "one"]
    assert [(t.speaker, t.spoken_s, t.utterances, t.words) for t in views.speakers("one")] == [("S1", 1.0, 1, 2), ("S2", 2.0, 2, 7)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kenobi", ["u1"]),
        ("KENOBI hello", ["u1"]),
        ('"general kenobi"', ["u1"]),
        ('"kenobi general"', []),
        ("kenobi bold", []),
        ("nobody", []),
        ("", []),
        ("' \" * - ()", []),
        ('bold"; DROP TABLE sessions; --', []),
        ("one*", ["u2"]),
    ],
)
def test_search(engine: Engine, views: Views, query: str, found: list[str]) -> None:
    ResultProjection(engine).project(session("one"))
    assert [hit.utterance.joined.utterance_id for hit in views.search(query)] == found


def test_search_finds_the_newest_text_and_can_stay_in_one_session(engine: Engine, views: Views) -> None:
    projection = ResultProjection(engine)
    projection.project(session("one") + session("two"))
    projection.project([replace(event, payload=transcribed("u1", 0.5, "something else", 9)) for event in session("one")[3:4]])
    assert [hit.session_id for hit in views.search("kenobi")] == ["two"]
    assert [hit.session_id for hit in views.search("bold", session_id="one")] == ["one"]
    assert len(views.search("bold", limit=1)) == 1


def test_what_the_database_cannot_hold_is_poison_and_the_rest_is_stored(engine: Engine, views: Views) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite holds a NUL in a text")
    with pytest.raises(Poison):
        ResultProjection(engine).project([_event("bad", "transcribe", transcribed("u1", 0.0, "a\0b")), *session("one")])
    assert views.session("one") is None  # wholly or not at all: the runner tries one by one then
    ResultProjection(engine).project(session("one"))
    assert views.session("one") is not None
