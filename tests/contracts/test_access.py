"""Keys, users, limits and usage, on PostgreSQL and on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text

from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import Event, SessionConfig, SessionOpened, StageFinished, SynthesisRequested
from voxrelay.plans import PLANS, Plan
from voxrelay.storage import database
from voxrelay.storage.access import AccessStore
from voxrelay.storage.limits import PLACE_S, UNSTORED_KEPT_S, month_start
from voxrelay.storage.usage import UsageOfDay
from voxrelay.storage.views import Views

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
FIVE = Plan("five", concurrent_sessions=5)


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[AccessStore]:
    store = AccessStore(database_url, clock)
    yield store
    store.close()


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.code


# --- keys ------------------------------------------------------------------------------------------------------------------


def test_a_key_is_found_by_its_secret_alone_and_is_stored_as_a_hash(store: AccessStore, database_url: str) -> None:
    assert not store.has_keys()
    key, secret = store.create_key("ward 3", "developer", models=["one"], requests_per_minute=7, concurrent_sessions=0, expires_at=NOON + 1)
    other, _ = store.create_key("ward 4", "free", is_admin=True)
    assert store.has_keys()
    assert secret.startswith("vr_")
    assert len(secret) == 46  # 32 bytes in base64url
    assert store.key_of(secret) == key == store.key(key.key_id)
    assert store.key_of(secret[:-1]) is None
    assert store.key_of("") is None
    assert store.keys() == sorted([key, other], key=lambda k: k.key_id)
    assert key.allowed == Plan("developer", 7, 0, 10_000, 100, ("one",))
    assert other.allowed == PLANS["free"]
    engine = database.connect(database_url, is_read_only=True)
    with engine.connect() as connection:
        rows = [str(tuple(row)) for table in database.metadata.sorted_tables for row in connection.execute(select(table))]
    engine.dispose()
    assert rows
    assert not any(secret in row for row in rows)


def test_a_key_expires_and_is_revoked(store: AccessStore, clock: Clock) -> None:
    key, secret = store.create_key("a", "free", expires_at=NOON + 10)
    assert key.state(NOON + 9.9) == "usable"
    assert key.state(NOON + 10) == "expired"
    assert store.revoke(key.key_id)
    clock.now += 5
    assert store.revoke(key.key_id)  # again: nothing changes
    found = store.key_of(secret)
    assert found is not None
    assert (found.state(NOON), found.revoked_at) == ("revoked", NOON)
    assert not store.revoke("key_none")
    assert store.has_keys()  # the last key's end opens no door


def test_a_key_is_rotated_and_the_old_secret_lives_as_long_as_it_is_told(store: AccessStore, clock: Clock) -> None:
    key, first = store.create_key("a", "free")
    second = store.rotate(key.key_id, overlap_s=100)
    assert second is not None
    assert store.key_of(first) == store.key_of(second) == key
    third = store.rotate(key.key_id)
    assert third is not None
    assert [store.key_of(secret) for secret in (first, second, third)] == [None, None, key]
    fourth = store.rotate(key.key_id, overlap_s=100)
    assert fourth is not None
    clock.now += 101
    assert [store.key_of(secret) for secret in (first, second, third, fourth)] == [None, None, None, key]
    assert store.rotate("key_none") is None


def test_users_log_in_with_their_password_alone(store: AccessStore, database_url: str) -> None:
    key, _ = store.create_key("a", "free")
    assert store.create_user("anna", "correct horse", key.key_id)
    assert not store.create_user("anna", "another", key.key_id)
    user = store.log_in("anna", "correct horse")
    assert user is not None
    assert user == store.user("anna") == store.users()[0]
    assert user.key_id == key.key_id
    assert store.log_in("anna", "correct horse ") is None
    assert store.log_in("anna", "") is None
    assert store.log_in("nobody", "correct horse") is None
    engine = database.connect(database_url, is_read_only=True)
    with engine.connect() as connection:
        assert "horse" not in str(connection.execute(select(database.users)).all())
    engine.dispose()
    assert store.remove_user("anna")
    assert not store.remove_user("anna")
    assert store.log_in("anna", "correct horse") is None


def test_gateways_that_start_together_make_one_secret(store: AccessStore, database_url: str) -> None:
    stores = [store, *(AccessStore(database_url) for _ in range(3))]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda number: stores[number % 4].signing_secrets(), range(32)))
    assert len({tuple(secrets.items()) for secrets in found}) == 1
    for other in stores[1:]:
        other.close()


def test_all_gateways_sign_with_one_secret_and_it_is_rotated(store: AccessStore, clock: Clock, database_url: str) -> None:
    other = AccessStore(database_url, clock)
    first = store.signing_secrets()
    assert len(first) == 1
    assert other.signing_secrets() == first
    clock.now += 1
    store.rotate_signing()
    second = other.signing_secrets()
    assert len(second) == 2
    assert next(iter(second)) not in first  # the newest signs,
    assert first.items() <= second.items()  # the one before still verifies
    clock.now += 1
    store.rotate_signing()
    assert not first.keys() & other.signing_secrets().keys()
    store.rotate_signing(keep=0)
    assert len(other.signing_secrets()) == 1
    other.close()


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    for url in ("postgresql+psycopg://nobody@127.0.0.1:1/none", f"sqlite:///{tmp_path / 'empty.db'}"):
        store = AccessStore(url)
        for call in (store.has_keys, store.keys, lambda: store.key_of("vr_x"), lambda: store.limits.count_request("k")):  # noqa: B023  # called at once
            with pytest.raises(Unavailable):
                call()
        with pytest.raises(Unavailable):
            store.limits.take_place("k", FIVE, "s", "g")
        store.close()


# --- requests -------------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_minute_over_all_gateways(store: AccessStore, clock: Clock, database_url: str) -> None:
    others = [AccessStore(database_url, clock) for _ in range(3)]
    with ThreadPoolExecutor(12) as threads:
        counts = list(threads.map(lambda n: others[n % 3].limits.count_request("key_a"), range(120)))
    assert sorted(counts) == list(range(1, 121))
    assert store.limits.count_request("key_b") == 1
    clock.now += 60
    assert store.limits.count_request("key_a") == 1
    for other in others:
        other.close()


# --- places ---------------------------------------------------------------------------------------------------------------


def test_places_never_exceed_the_plan_under_contention(store: AccessStore, clock: Clock, database_url: str) -> None:
    """Forty threads of four gateways want five places at once, again and again."""
    key, _ = store.create_key("a", "free")
    gateways = [AccessStore(database_url, clock) for _ in range(4)]
    together = threading.Barrier(40)

    def take(number: int) -> str | None:
        together.wait()
        try:
            gateways[number % 4].limits.take_place(key.key_id, FIVE, f"s{number}", f"g{number % 4}")
        except Refused:
            return None
        return f"s{number}"

    for _ in range(3):
        with ThreadPoolExecutor(40) as threads:
            taken = [session_id for session_id in threads.map(take, range(40)) if session_id]
        assert len(taken) == 5
        for session_id in taken:
            store.limits.leave_place(session_id, f"g{int(session_id[1:]) % 4}", 0.0)
    for gateway in gateways:
        gateway.close()


def test_other_keys_have_places_of_their_own(store: AccessStore) -> None:
    keys = [store.create_key(name, "free")[0].key_id for name in "ab"]
    one = Plan("one", concurrent_sessions=1)
    for key_id in keys:
        store.limits.take_place(key_id, one, f"of {key_id}", "g")
        assert refusal(lambda: store.limits.take_place(key_id, one, "second", "g")) == "SESSION_LIMIT"  # noqa: B023  # called at once


def test_a_dead_gateway_loses_its_places_and_a_living_one_keeps_them(store: AccessStore, clock: Clock) -> None:
    key, _ = store.create_key("a", "free")
    two = Plan("two", concurrent_sessions=2)
    store.limits.take_place(key.key_id, two, "of the dead", "dead")
    store.limits.take_place(key.key_id, two, "of the living", "living")
    clock.now += PLACE_S - 1
    store.limits.renew_places("living", {"of the living": 3.0})
    store.limits.renew_places("dead", {"of the living": 9.0})  # not its own: nothing happens
    assert refusal(lambda: store.limits.take_place(key.key_id, two, "third", "g")) == "SESSION_LIMIT"
    clock.now += 2
    store.limits.take_place(key.key_id, two, "third", "g")
    assert refusal(lambda: store.limits.take_place(key.key_id, two, "fourth", "g")) == "SESSION_LIMIT"


def test_a_session_that_goes_on_elsewhere_takes_its_own_place_over(store: AccessStore, clock: Clock) -> None:
    key, _ = store.create_key("a", "free")
    one = Plan("one", concurrent_sessions=1, minutes_per_month=2)
    store.limits.take_place(key.key_id, one, "s", "first")
    store.limits.renew_places("first", {"s": 50.0})
    assert store.limits.take_place(key.key_id, one, "s", "second") == 120.0  # its own audio is not against it
    assert store.limits.audio_seconds_of_month(key.key_id) == 50.0
    store.limits.leave_place("s", "first", 50.0)  # too late: it is not there any more
    assert refusal(lambda: store.limits.take_place(key.key_id, one, "another", "g")) == "SESSION_LIMIT"
    store.limits.leave_place("s", "second", 60.0)
    assert store.limits.take_place(key.key_id, one, "another", "g") == 60.0


# --- minutes --------------------------------------------------------------------------------------------------------------


def test_minutes_are_what_is_stored_of_the_month_and_what_runs(store: AccessStore, clock: Clock, database_url: str) -> None:
    key, _ = store.create_key("a", "free")
    projection = ResultProjection(database.connect(database_url), clock)
    projection.project([*_heard("last month", key.key_id, month_start(NOON) - 1, 7000.0), *_heard("this month", key.key_id, NOON, 30.0)])
    projection.project(_heard("another's", "key_other", NOON, 7000.0))
    assert store.limits.audio_seconds_of_month(key.key_id) == 30.0
    two_minutes = Plan("two minutes", minutes_per_month=2)
    assert store.limits.take_place(key.key_id, two_minutes, "running", "g") == 90.0
    store.limits.renew_places("g", {"running": 60.0})
    assert store.limits.take_place(key.key_id, two_minutes, "beside it", "g") == 30.0
    store.limits.leave_place("beside it", "g", 0.0)
    store.limits.leave_place("running", "g", 95.0)
    assert store.limits.audio_seconds_of_month(key.key_id) == 125.0  # ended, not stored yet
    assert refusal(lambda: store.limits.take_place(key.key_id, two_minutes, "late", "g")) == "QUOTA_EXCEEDED"
    projection.project(_heard("running", key.key_id, NOON, 95.0))
    assert store.limits.audio_seconds_of_month(key.key_id) == 125.0  # once, not twice
    clock.now = datetime(2026, 4, 1, tzinfo=UTC).timestamp()
    assert store.limits.audio_seconds_of_month(key.key_id) == 0.0


def test_tidying_removes_what_counts_no_more_and_nothing_else(store: AccessStore, clock: Clock, database_url: str) -> None:
    key, _ = store.create_key("a", "free")
    for session_id in ("stored", "unstored", "running"):
        store.limits.take_place(key.key_id, FIVE, session_id, "g")
    store.limits.leave_place("stored", "g", 10.0)
    store.limits.leave_place("unstored", "g", 20.0)
    store.limits.count_request("key_a")
    ResultProjection(database.connect(database_url), clock).project(_heard("stored", key.key_id, NOON, 10.0))
    engine = database.connect(database_url, is_read_only=True)

    def places() -> set[str]:
        with engine.connect() as connection:
            return set(connection.execute(select(database.places.c.session_id)).scalars())

    store.limits.tidy()
    assert places() == {"unstored", "running"}
    assert store.limits.count_request("key_a") == 2
    clock.now += UNSTORED_KEPT_S + PLACE_S + 1
    store.limits.tidy()
    assert places() == set()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM requests_by_minute")).scalar_one() == 0
    engine.dispose()


# --- usage ----------------------------------------------------------------------------------------------------------------


def _heard(session_id: str, owner: str, opened_at: float, audio_seconds: float) -> list[Event]:
    said = [SessionOpened(SessionConfig(owner=owner, stages=("denoise",)), opened_at), StageFinished("denoise", 1, audio_seconds)]
    return [Event(session_id, payload, "denoise", number, f"{session_id}-{number}", opened_at) for number, payload in enumerate(said, 1)]


def _spoken(session_id: str, owner: str, at: float, words: str) -> Event:
    return Event(session_id, SynthesisRequested(words, owner=owner), "gateway", 1, f"{session_id}-1", at)


def test_usage_is_by_key_and_day_and_a_batch_that_comes_again_changes_nothing(database_url: str, clock: Clock) -> None:
    midnight = datetime(2026, 3, 15, tzinfo=UTC).timestamp()
    batch = [
        *_heard("s1", "key_a", midnight, 10.5),  # the first moment of the day
        *_heard("s2", "key_a", midnight + DAY_S - 0.001, 4.5),  # and its last
        *_heard("s3", "key_a", midnight + DAY_S, 1.0),
        *_heard("s4", "key_b", midnight + 1, 2.0),
        _spoken("t1", "key_a", midnight + 2, "hello"),
        _spoken("t2", "key_a", midnight + 3, "you"),
        _spoken("t3", "key_c", midnight + 3, "äöü"),
    ]
    engine = database.connect(database_url)
    projection, views = ResultProjection(engine, clock), Views(database.connect(database_url, is_read_only=True))
    for _ in range(2):
        projection.project(batch)
        assert views.usage() == [
            UsageOfDay("key_a", date(2026, 3, 15), 2, 15.0, 2, 8),
            UsageOfDay("key_b", date(2026, 3, 15), 1, 2.0),
            UsageOfDay("key_c", date(2026, 3, 15), syntheses=1, characters=3),
            UsageOfDay("key_a", date(2026, 3, 16), 1, 1.0),
        ]
    assert [of.day for of in views.usage("key_a")] == [date(2026, 3, 15), date(2026, 3, 16)]
    assert [of.sessions for of in views.usage("key_a", date(2026, 3, 16))] == [1]
    assert [of.sessions for of in views.usage("key_a", None, date(2026, 3, 15))] == [2]
    assert views.usage("key_none") == []
    engine.dispose()


def test_stored_sessions_are_shown_to_their_owner(database_url: str) -> None:
    engine = database.connect(database_url)
    views = Views(engine)
    ResultProjection(engine).project([*session("s1"), *_heard("s2", "key_b", NOON, 1.0)])  # the first is key1's
    assert [of.session_id for of in views.sessions(owner="key1")] == ["s1"]
    assert {of.session_id for of in views.sessions()} == {"s1", "s2"}
    assert views.session("s1") is not None
    assert views.session("s1", "key1") == views.session("s1")
    assert views.session("s1", "key_b") is None
    assert views.session("s1", "") is None
    assert [hit.session_id for hit in views.search("kenobi", owner="key1")] == ["s1"]
    assert [hit.session_id for hit in views.search("kenobi")] == ["s1"]
    assert views.search("kenobi", owner="key_b") == []
    assert views.search("kenobi", session_id="s1", owner="key_b") == []
    engine.dispose()
