"""The offsets of partitions while brokers come and go, by clients of the library that answer as told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="the library of Kafka is not installed")

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException

from voxrelay.bus import kafka
from voxrelay.bus.api import TopicPartition
from voxrelay.errors import Unavailable

SOURCE = TopicPartition("speech", 0)
Answer = Callable[[], int]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """How each client made in the test answers, whenever it is asked; the last entry is for all that follow."""
    answers: list[Answer] = []
    made: list[Answer] = []

    class Client:
        def __init__(self, _settings: Any) -> None:
            self._answer = answers[min(len(made), len(answers) - 1)]
            made.append(self._answer)

        def list_offsets(self, asked: dict[Any, Any], request_timeout: float) -> dict[Any, Future[Any]]:
            futures = {}
            for position in asked:
                future: Future[Any] = Future()
                try:
                    future.set_result(SimpleNamespace(offset=self._answer()))
                except Exception as error:
                    future.set_exception(error)
                futures[position] = future
            return futures

    monkeypatch.setattr(kafka, "AdminClient", Client)
    monkeypatch.setattr(kafka, "ASK_AGAIN_AFTER_S", 0.3)
    monkeypatch.setattr(kafka, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(kafka, "RETRY_S", 0.02)
    return answers


def leaderless() -> int:
    raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))


def silent() -> int:
    raise TimeoutError


def unknown() -> int:
    return OFFSET_INVALID


@pytest.mark.parametrize("stuck", [leaderless, silent, unknown])
def test_a_client_that_is_stuck_is_replaced(clients: list[Answer], stuck: Answer) -> None:
    """One that looked while a partition had no leader may say so for ever, though a leader is there."""
    clients += [stuck, lambda: 7]
    assert kafka.KafkaBus("nowhere:1").offsets([SOURCE]) == {SOURCE: (7, 7)}


def test_an_answer_without_an_offset_is_none(clients: list[Answer]) -> None:
    """librdkafka gives −1001 and no error for partitions of a broker that has just died. Taken for the end of a topic of checkpoints, it had a stage
    begin sessions in their middle.
    """
    given = iter([OFFSET_INVALID, 3, OFFSET_INVALID, OFFSET_INVALID, 9])
    clients.append(lambda: next(given))
    assert kafka.KafkaBus("nowhere:1").offsets([SOURCE]) == {SOURCE: (3, 9)}


def test_after_the_last_record_of_a_time_comes_the_end(clients: list[Answer]) -> None:
    given = iter([3, 9, -1])
    clients.append(lambda: next(given))
    assert kafka.KafkaBus("nowhere:1").offsets_at([SOURCE], 100.0) == {SOURCE: 9}


def test_without_any_answer_it_is_said_in_time(clients: list[Answer]) -> None:
    clients.append(leaderless)
    with pytest.raises(Unavailable, match="did not tell"):
        kafka.KafkaBus("nowhere:1").offsets([SOURCE])
