"""A projection stores every record, and the log hears of it seldom: each commit is a request that heartbeats wait behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from voxrelay import codec
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.errors import Unavailable
from voxrelay.events import Event, UtteranceStarted
from voxrelay.runner import ProjectionRunner
from voxrelay.runner.projection_runner import COMMIT_EVERY_S
from voxrelay.topology import PROJECTOR, UTTERANCE_DETECTED, consumer_group, dead_letter_topic, topic_specs

GROUP, TOPIC = consumer_group(PROJECTOR.name, "live"), UTTERANCE_DETECTED.name("live")
SOURCE = TopicPartition(TOPIC, 0)
PATIENCE_S = 20.0


class Kept:
    """A store that may be away."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.is_away = False

    def project(self, batch: Sequence[Event]) -> None:
        if self.is_away:
            raise Unavailable("The store is away.")
        self.ids += [event.id for event in batch]


class Platform:
    """A bus that writes down what is committed, a clock that stands still until it is told, and a projection that runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus, self.kept, self.now = MemoryBus(), Kept(), 1000.0
        self.bus.create_topics(topic_specs(1))
        self.commits: list[Mapping[TopicPartition, int]] = []
        self._sent = 0
        subscribe = self.bus.subscribe

        def watched(*arguments: object) -> object:
            consumer = subscribe(*arguments)
            commit = consumer.commit

            def write_down(offsets: Mapping[TopicPartition, int]) -> None:
                if offsets:
                    self.commits.append(dict(offsets))
                commit(offsets)

            monkeypatch.setattr(consumer, "commit", write_down)
            return consumer

        monkeypatch.setattr(self.bus, "subscribe", watched)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        ProjectionRunner(self.bus, PROJECTOR, "live", self.kept, clock=lambda: self.now).run(self.stop)

    def __enter__(self) -> Platform:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    def send_interim(self, value: bytes) -> None:
        headers = [("ce_type", b"voxrelay.v1.SegmentTranscribed"), ("ce_sequence", b"0"), ("ce_id", b"s/transcribe/u1.1")]
        self.bus.producer().send(TOPIC, b"s", value, headers)

    def send(self) -> str:
        self._sent += 1
        event = Event("s", UtteranceStarted(f"u{self._sent}", self._sent), "denoise", self._sent, f"s/denoise/{self._sent}", 1.0, 1.0, "")
        producer = self.bus.producer()
        producer.send(TOPIC, *codec.encode(event, UTTERANCE_DETECTED.encoding))
        return event.id

    def send_and_see_stored(self) -> None:
        sent = self.send()
        wait_for(lambda: sent in self.kept.ids)

    def lag(self) -> int:
        return self.bus.lag(GROUP, [TOPIC])


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    return Platform(monkeypatch)


def test_batches_of_one_second_are_committed_once(platform: Platform) -> None:
    with platform:
        for _ in range(20):
            platform.send_and_see_stored()
        assert len(platform.commits) <= 1, "the clock stood still"
        platform.now += COMMIT_EVERY_S
        wait_for(lambda: platform.lag() == 0)
    assert len(platform.kept.ids) == 20
    assert len(platform.commits) <= 3
    assert platform.commits[-1] == {SOURCE: 20}


def test_what_was_stored_is_committed_at_the_end(platform: Platform) -> None:
    with platform:
        platform.send_and_see_stored()
        platform.send_and_see_stored()
    assert platform.lag() == 0


def test_what_the_store_did_not_take_is_never_committed(platform: Platform) -> None:
    with platform:
        platform.send_and_see_stored()
        platform.kept.is_away = True
        platform.send()
        for _ in range(5):
            platform.now += COMMIT_EVERY_S
            time.sleep(0.05)
    assert platform.lag() == 1
    assert platform.kept.ids == ["s/denoise/1"]


def test_after_an_outage_everything_is_stored_in_order(platform: Platform) -> None:
    with platform:
        platform.send_and_see_stored()
        platform.kept.is_away = True
        missed = [platform.send() for _ in range(3)]
        time.sleep(0.2)
        platform.kept.is_away = False
        wait_for(lambda: missed[-1] in platform.kept.ids)
    assert list(dict.fromkeys(platform.kept.ids)) == ["s/denoise/1", *missed]
    assert platform.lag() == 0


def test_partitions_that_go_to_another_member_are_committed_first(platform: Platform) -> None:
    other = Kept()
    with platform:
        platform.send_and_see_stored()
        platform.send_and_see_stored()
        stop = threading.Event()
        runner = ProjectionRunner(platform.bus, PROJECTOR, "live", other, clock=lambda: platform.now)
        thread = threading.Thread(target=runner.run, args=(stop,))
        thread.start()
        platform.stop.set()
        try:
            platform.thread.join(PATIENCE_S)
            third = platform.send()
            wait_for(lambda: third in other.ids)
        finally:
            stop.set()
            thread.join(PATIENCE_S)
    assert other.ids == [third], "nothing is stored again"


def test_what_is_said_for_the_moment_is_passed_over_unread(platform: Platform) -> None:
    with platform:
        for _ in range(5):
            platform.send_interim(b"nobody opens this")
        platform.send_and_see_stored()
    assert platform.kept.ids == ["s/denoise/1"]
    assert platform.lag() == 0
    dead = dead_letter_topic(TOPIC)
    assert platform.bus.offsets([TopicPartition(dead, 0)]) == {TopicPartition(dead, 0): (0, 0)}
