"""A member of a group keeps librdkafka's group thread awake, and lets it join again at once when partitions move."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="the library of Kafka is not installed")

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from voxrelay.bus import api, kafka, kafka_consumers
from voxrelay.bus.kafka_consumers import GroupConsumer
from voxrelay.errors import Unavailable


class _Client:
    """Calls the rebalance callbacks inside poll, as librdkafka does, and notes what it is asked."""

    def __init__(self, _settings: Mapping[str, Any]) -> None:
        self.asked: list[str] = []
        self.moves: list[Callable[[_Client], None]] = []
        self.offsets: dict[int, int] = {}
        self.failures: list[KafkaError] = []

    def subscribe(self, topics: Sequence[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def poll(self, _timeout_s: float) -> None:
        if self.moves:
            self.moves.pop(0)(self)

    def incremental_assign(self, positions: Sequence[TopicPartition]) -> None:
        self.asked.append("assign")
        self.starts = {position.partition: position.offset for position in positions}

    def committed(self, positions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:  # the client's signature
        if self.failures:
            raise KafkaException(self.failures.pop())
        return [TopicPartition(position.topic, position.partition, self.offsets.get(position.partition, OFFSET_INVALID)) for position in positions]

    def list_topics(self, topic: str, timeout: float) -> None:
        self.asked.append(f"metadata of {topic}")

    def assignment(self) -> list[TopicPartition]:
        self.asked.append("assignment")
        return []


class _Anybody:
    def assigned(self, sources: Sequence[api.TopicPartition]) -> Mapping[api.TopicPartition, int]:
        return {}

    def revoked(self, sources: Sequence[api.TopicPartition]) -> None:
        pass

    lost = revoked


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> GroupConsumer:
    monkeypatch.setattr(kafka_consumers, "Client", _Client)
    return GroupConsumer({}, ["speech"], _Anybody())


def assign(*numbers: int) -> Callable[[Any], None]:
    return lambda client: client.callbacks["on_assign"](client, [TopicPartition("speech", number) for number in numbers])


def test_after_each_move_it_asks_for_metadata_also_when_it_got_nothing(member: GroupConsumer) -> None:
    client: Any = member.client
    client.moves = [assign(), lambda client: client.callbacks["on_revoke"](client, [TopicPartition("speech", 1)]), assign(0, 1)]
    for _ in range(3):
        client.asked.clear()
        member.poll()
        assert [what for what in client.asked if what != "assign"] == ["metadata of speech"]


def test_partitions_are_assigned_with_the_offset_they_begin_at(member: GroupConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka (2.16, its issue 5586) forgets its own question for it when the coordinator moves, and then fetches nothing for ever."""
    client: Any = member.client
    monkeypatch.setattr(kafka_consumers, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(_Anybody, "assigned", lambda _, sources: {sources[0]: 3})
    client.offsets = {0: 11, 1: 12}
    client.failures = [KafkaError(KafkaError.NOT_COORDINATOR), KafkaError(KafkaError._TRANSPORT)]
    client.moves = [assign(0, 1, 2)]
    member.poll()
    assert client.starts == {0: 3, 1: 12, 2: OFFSET_INVALID}
    assert not client.failures


def test_a_coordinator_that_never_answers_does_not_keep_partitions_from_being_assigned(
    member: GroupConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = member.client
    monkeypatch.setattr(kafka_consumers, "COMMITTED_WITHIN_S", 0.0)
    client.failures = [KafkaError(KafkaError.NOT_COORDINATOR)]
    client.moves = [assign(0)]
    member.poll()
    assert client.starts == {0: OFFSET_INVALID}


def test_between_moves_it_wakes_the_group_thread_in_time_for_the_heartbeats(member: GroupConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = member.client
    now = 100.0
    monkeypatch.setattr(kafka_consumers.time, "monotonic", lambda: now)
    for now in (100.0, 100.01, 100.04, 100.06):  # noqa: B007  # read by the clock
        member.poll()
    assert client.asked == ["assignment", "assignment"]
    assert kafka_consumers.WAKE_EVERY_S * 1000 <= kafka_consumers.HEARTBEAT_MS


def test_a_broker_that_gives_no_metadata_does_not_end_the_member(member: GroupConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = member.client

    def refuse(*_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    monkeypatch.setattr(client, "list_topics", refuse)
    client.moves = [assign(0)]
    assert member.poll() == []


def test_a_record_taken_before_a_rebalance_that_failed_comes_again(member: GroupConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks run inside both calls of a poll; what one raises must not take the first record with it."""
    client: Any = member.client
    record = SimpleNamespace(topic=lambda: "speech", partition=lambda: 1, offset=lambda: 7, key=lambda: b"key", error=lambda: None)

    def fail(_most: int, _timeout_s: float) -> list[Any]:
        raise Unavailable("The checkpoints could not be read.")

    sought: list[TopicPartition] = []
    monkeypatch.setattr(client, "poll", lambda _timeout_s: record)
    monkeypatch.setattr(client, "consume", fail, raising=False)
    monkeypatch.setattr(client, "seek", sought.append, raising=False)
    with pytest.raises(Unavailable):
        member.poll()
    assert [(position.topic, position.partition, position.offset) for position in sought] == [("speech", 1, 7)]


def test_a_broker_that_is_down_is_told_of_and_does_not_fill_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    monkeypatch.setattr(kafka.time, "monotonic", lambda: now)
    monkeypatch.setattr(kafka, "_quiet_until", {})
    library = logging.getLogger("librdkafka")
    monkeypatch.setattr(library, "propagate", True)
    for now in (100.0, 100.1, 109.9, 110.1):  # noqa: B007  # read by the clock
        kafka._on_client_error(KafkaError(KafkaError._TRANSPORT))
        library.error("FAIL [rdkafka#consumer-1]: Connect to 127.0.0.1:1 failed")
    kafka._on_client_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["The", "FAIL", "The", "FAIL", "The"]
