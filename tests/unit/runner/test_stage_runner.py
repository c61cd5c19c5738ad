"""Nothing lost and nothing twice: the runner under deaths, outages, poison, repeats and rebalances."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.unit.runner.counting import CountingStage, Died, FaultyBus
from voxrelay import codec
from voxrelay.bus.api import Record, TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.errors import Poison, Unavailable
from voxrelay.events import AudioReceived, Event, Payload, SessionConfig, SessionEnded, SessionOpened
from voxrelay.runner import StageRunner
from voxrelay.runner.stage_runner import MANY_RECORDS, REST_S
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED, DENOISE, UTTERANCE_DETECTED, checkpoint_topic, dead_letter_topic, topic_specs

PARTITIONS = 2
IN = AUDIO_RECEIVED.name("live")


def make_bus() -> MemoryBus:
    bus = MemoryBus()
    bus.create_topics(topic_specs(PARTITIONS))
    return bus


def feed(bus: MemoryBus, session_id: str, payloads: Sequence[Payload], first: int = 1) -> None:
    producer = bus.producer()
    for sequence, payload in enumerate(payloads, first):
        event = Event(session_id, payload, "gateway", sequence, f"{session_id}/gateway/{sequence}", 1.0, 1.0, "00-trace")
        key, value, headers = codec.encode(event, AUDIO_RECEIVED.encoding)
        producer.send(IN, key, value, headers)


def session_of(chunks: int) -> list[Payload]:
    return [SessionOpened(SessionConfig()), *(AudioReceived(n, b"%d" % n) for n in range(chunks)), SessionEnded()]


def feed_many(bus: MemoryBus, sessions: int = 6, chunks: int = 60) -> None:
    """Sessions side by side, their records interleaved."""
    for step in range(chunks + 2):
        for number in range(sessions):
            feed(bus, f"s{number}", [session_of(chunks)[step]], first=step + 1)


def read_all(bus: MemoryBus, topic: str) -> list[Record]:
    reader = bus.read({TopicPartition(topic, number): "earliest" for number in range(PARTITIONS)})
    records = []
    while taken := reader.poll(10_000, 0):
        records.extend(taken)
    reader.close()
    return records


def distinct(bus: MemoryBus, topic: str) -> dict[str, list[tuple[int, str, Payload]]]:
    """What a reader keeps: by session, in order, each sequence once; repeats must be identical."""
    seen: dict[str, dict[int, tuple[int, str, Payload]]] = defaultdict(dict)
    for record in read_all(bus, topic):
        event = codec.decode(record.key, record.value, record.headers)
        item = (event.sequence, event.id, event.payload)
        assert seen[event.session_id].setdefault(event.sequence, item) == item
    return {session: list(items.values()) for session, items in seen.items()}


def run_until_idle(
    bus: MemoryBus | FaultyBus,
    stage: CountingStage,
    waits: list[float | None] | None = None,
    turns: int | None = None,
    between: Callable[[], object] = lambda: None,
    **options: Any,
) -> bool:
    """Runs in this thread until everything has been read, or it is told to end in its last turn; what the runner raises comes through.

    ``waits`` is told for how long it would wait, ``between`` is called in each turn. Whether everything has been read.
    """
    runner = StageRunner(bus, DENOISE, "live", stage, checkpoint_every=8, **options)
    stop = threading.Event()

    def wait(timeout: float | None = None) -> bool:
        if waits is not None:
            waits.append(timeout)
        return stop.is_set()

    stop.wait = wait  # type: ignore[method-assign]  # no real waiting
    idle = done = 0
    turn = runner._turn

    def turn_and_look(records: Sequence[Record]) -> None:
        nonlocal idle, done
        runner._next_commit = 0.0
        done += 1
        if done == turns:
            stop.set()
        between()
        turn(records)
        idle = 0 if records else idle + 1
        if idle > 3:
            stop.set()

    runner._turn = turn_and_look  # type: ignore[method-assign]
    runner.run(stop)
    if idle > 3:
        assert runner._partitions == {}
    return idle > 3


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, dict[str, list[tuple[int, str, Payload]]]]:
    bus = make_bus()
    feed_many(bus)
    run_until_idle(bus, CountingStage())
    return {topic.name("live"): distinct(bus, topic.name("live")) for topic in (AUDIO_DENOISED, UTTERANCE_DETECTED)}


def assert_same(bus: MemoryBus, expected: dict[str, dict[str, list[tuple[int, str, Payload]]]]) -> None:
    for topic, sessions in expected.items():
        assert distinct(bus, topic) == sessions


def fed_behind_faults(seed: int, death: float, outage: float) -> tuple[random.Random, MemoryBus, FaultyBus]:
    """A bus with what is fed to it, and how a runner sees it; all chance is drawn from the one generator."""
    source = random.Random(seed)
    bus = make_bus()
    feed_many(bus)
    return source, bus, FaultyBus(bus, source, death, outage)


def assert_all_is_done(bus: MemoryBus, expected: dict[str, dict[str, list[tuple[int, str, Payload]]]]) -> None:
    assert_same(bus, expected)
    assert bus.lag("denoise", [IN]) == 0


def test_an_undisturbed_run_publishes_each_sequence_once(undisturbed) -> None:  # type: ignore[no-untyped-def]
    denoised = undisturbed[AUDIO_DENOISED.name("live")]
    assert len(denoised) == 6
    for items in denoised.values():
        assert [sequence for sequence, _, _ in items] == sorted(sequence for sequence, _, _ in items)
        assert isinstance(items[-1][2], SessionEnded)


def abandon(bus: MemoryBus) -> None:
    """What the broker does with a dead member: its partitions are free, its uncommitted work is nobody's."""
    for group in bus._groups.values():
        group.members.clear()
        group.owners.clear()


@pytest.mark.parametrize("seed", range(40))
def test_deaths_and_outages_at_any_moment_change_nothing(seed: int, undisturbed) -> None:  # type: ignore[no-untyped-def]
    _, bus, faulty = fed_behind_faults(seed, death=0.004, outage=0.004)
    deaths = 0
    while True:
        try:
            run_until_idle(faulty, CountingStage())
            break
        except Died:
            deaths += 1
            faulty.is_calm = deaths > 60
            abandon(bus)
    assert_all_is_done(bus, undisturbed)


@pytest.mark.parametrize("seed", range(100, 140))
def test_ends_in_order_at_any_moment_change_nothing(seed: int, undisturbed) -> None:  # type: ignore[no-untyped-def]
    """Told to end when an outage has just come, too: what it hands over is on the log, or it hands over less."""
    source, bus, faulty = fed_behind_faults(seed, death=0.0, outage=0.02)
    ends = 0
    while not run_until_idle(faulty, CountingStage(), turns=source.randint(1, 10)):
        ends += 1
        faulty.is_calm = ends > 200
    assert ends > 10
    assert_all_is_done(bus, undisturbed)


class Visitor:
    """A member that takes its share of the partitions, does nothing with it, and leaves again."""

    def __init__(self, bus: MemoryBus, chance: random.Random) -> None:
        self._bus, self._chance, self._member = bus, chance, None
        self.visits = 0

    def come_or_go(self) -> None:
        if self._member is not None:
            self._member.poll(1, 0.0)
        if self._chance.random() < 0.4:
            self.leave()
            if self.visits < 30:
                self.visits += 1
                self._member = self._bus.subscribe("denoise", [IN], self)

    def leave(self) -> None:
        if self._member is not None:
            self._member.close()
            self._member = None

    def assigned(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {}

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        pass

    lost = revoked


@pytest.mark.parametrize("seed", range(220, 260))
def test_partitions_that_go_and_come_back_in_outages_change_nothing(seed: int, undisturbed) -> None:  # type: ignore[no-untyped-def]
    """A hand-over that the log did not take must not let the partitions that stay rely on anything."""
    source, bus, faulty = fed_behind_faults(seed, death=0.0, outage=0.03)
    visitor = Visitor(bus, source)
    run_until_idle(faulty, CountingStage(), between=visitor.come_or_go)
    visitor.leave()
    faulty.is_calm = True
    run_until_idle(faulty, CountingStage())
    assert visitor.visits > 1
    assert_all_is_done(bus, undisturbed)


def test_a_repeating_producer_is_silent_downstream(undisturbed) -> None:  # type: ignore[no-untyped-def]
    bus = make_bus()
    for number in range(6):
        payloads = session_of(60)
        feed(bus, f"s{number}", payloads[:30])
        feed(bus, f"s{number}", payloads[10:40], first=11)  # went back after a crash
        feed(bus, f"s{number}", payloads[40:], first=41)
        feed(bus, f"s{number}", payloads)  # and once more from the start, after the end
    run_until_idle(bus, CountingStage())
    assert_same(bus, undisturbed)


def test_named_poison_goes_to_the_dead_letters_and_the_session_goes_on() -> None:
    bus = make_bus()
    feed(bus, "s", session_of(20))
    stage = CountingStage()

    def fail(event: Event) -> None:
        if event.id == "s/gateway/7":
            raise Poison("This chunk is bad.", event.id)

    stage.fail = fail
    run_until_idle(bus, stage)
    (dead,) = read_all(bus, dead_letter_topic(IN))
    headers = dict(dead.headers)
    assert headers["ce_id"] == b"s/gateway/7"
    assert headers["voxrelay_reason"] == b"This chunk is bad."
    denoised = [item[2] for item in distinct(bus, AUDIO_DENOISED.name("live"))["s"]]
    assert b"5" not in [payload.pcm_s16le for payload in denoised if hasattr(payload, "pcm_s16le")]
    assert isinstance(denoised[-1], SessionEnded)


def test_nameless_poison_is_found_by_trying_one_by_one() -> None:
    bus = make_bus()
    feed_many(bus, 3, 10)
    stage = CountingStage()

    def fail(event: Event) -> None:
        if event.id in ("s0/gateway/4", "s1/gateway/9"):
            raise Poison("Something in here is bad.")

    stage.fail = fail
    run_until_idle(bus, stage)
    assert sorted(dict(record.headers)["ce_id"] for record in read_all(bus, dead_letter_topic(IN))) == [b"s0/gateway/4", b"s1/gateway/9"]
    assert all(isinstance(items[-1][2], SessionEnded) for items in distinct(bus, AUDIO_DENOISED.name("live")).values())


def test_what_no_codec_reads_goes_to_the_dead_letters_as_it_came() -> None:
    bus = make_bus()
    bus.producer().send(IN, b"s", b"\xff\xfenothing of ours", [("ce_type", b"voxrelay.v1.AudioReceived")])
    bus.producer().send(IN, b"s", b"x", [])
    feed(bus, "s", session_of(5))
    run_until_idle(bus, CountingStage())
    assert [record.value for record in read_all(bus, dead_letter_topic(IN))] == [b"\xff\xfenothing of ours", b"x"]
    assert isinstance(distinct(bus, AUDIO_DENOISED.name("live"))["s"][-1][2], SessionEnded)


def test_an_engine_that_is_away_for_a_while_loses_nothing(undisturbed) -> None:  # type: ignore[no-untyped-def]
    bus = make_bus()
    feed_many(bus)
    stage = CountingStage()
    failures = iter([*["away"] * 25])

    def fail(event: Event) -> None:
        if event.sequence % 13 == 0 and next(failures, None):
            raise Unavailable("The engine is away.")

    stage.fail = fail
    run_until_idle(bus, stage)
    assert_same(bus, undisturbed)


def test_a_second_member_takes_partitions_over_in_mid_session(undisturbed) -> None:  # type: ignore[no-untyped-def]
    bus = make_bus()
    stops = [threading.Event(), threading.Event()]
    runners = [StageRunner(bus, DENOISE, "live", CountingStage(), checkpoint_every=8) for _ in stops]
    threads = [threading.Thread(target=runner.run, args=(stop,)) for runner, stop in zip(runners, stops, strict=True)]
    threads[0].start()
    for step in range(62):
        for number in range(6):
            feed(bus, f"s{number}", [session_of(60)[step]], first=step + 1)
        if step == 20:
            threads[1].start()
        if step == 40:
            stops[0].set()
            threads[0].join()
    wait_for(lambda: bus.lag("denoise", [IN]) == 0)
    stops[1].set()
    threads[1].join()
    assert_same(bus, undisturbed)


class SizedStage(CountingStage):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        self.sizes.append(len(batch))
        return super().process(batch)


def test_a_batch_has_its_most_and_a_wait_lies_between_two(undisturbed) -> None:  # type: ignore[no-untyped-def]
    bus, stage, waits = make_bus(), SizedStage(), list[float | None]()
    feed_many(bus)
    run_until_idle(bus, stage, waits, batch_events=7, batch_wait_s=0.25)
    assert max(stage.sizes) == 7
    assert waits == [0.25] * len(stage.sizes)  # none while there is nothing
    assert_same(bus, undisturbed)
    freely, unlimited = list[float | None](), SizedStage()
    bus = make_bus()
    feed_many(bus)
    run_until_idle(bus, unlimited, freely)
    assert (freely, len(unlimited.sizes)) == ([REST_S], 1)


class WatchedBus:
    """A memory bus that notes, a letter each, what its runner does: Taken a batch, sent Results or Checkpoints, waited until the log Acknowledged."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus, self.noted = bus, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def producer(self, *, linger_ms: float = 0.0) -> Any:
        producer = self._bus.producer(linger_ms=linger_ms)
        send, flush = producer.send, producer.flush

        def noted_send(topic: str, *arguments: Any, **options: Any) -> None:
            self.noted += "C" if topic == checkpoint_topic(DENOISE, "live") else "R"
            send(topic, *arguments, **options)

        def noted_flush(timeout_s: float = 30.0) -> None:
            self.noted += "A"
            flush(timeout_s)

        producer.send, producer.flush = noted_send, noted_flush  # type: ignore[method-assign]
        return producer

    def subscribe(self, *arguments: Any) -> Any:
        consumer = self._bus.subscribe(*arguments)
        poll = consumer.poll

        def noted_poll(*bounds: Any) -> list[Record]:
            records = poll(*bounds)
            self.noted += "T" if records else ""
            return records

        consumer.poll = noted_poll  # type: ignore[method-assign]
        return consumer


def test_a_batch_is_taken_while_the_log_acknowledges_the_one_before(undisturbed) -> None:  # type: ignore[no-untyped-def]
    """And what a checkpoint says was published is always on the log before it."""
    bus = make_bus()
    feed_many(bus)
    watched = WatchedBus(bus)
    run_until_idle(watched, CountingStage(), batch_events=50)  # type: ignore[arg-type]
    assert_same(bus, undisturbed)
    assert watched.noted.count("RTA") > 5
    assert "AC" in watched.noted
    assert "RC" not in watched.noted


def test_what_was_taken_when_an_older_failure_showed_comes_again(undisturbed, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The very first records of a partition, too: nothing of it has been handled to go back to."""
    failures = iter([Unavailable("A fault of the test.")])
    settle = StageRunner._settle

    def failing_once(runner: StageRunner) -> None:
        for failure in failures:
            raise failure
        settle(runner)

    monkeypatch.setattr(StageRunner, "_settle", failing_once)
    bus = make_bus()
    feed_many(bus)
    run_until_idle(bus, CountingStage())
    assert_same(bus, undisturbed)


@pytest.mark.parametrize(
    ("records", "most", "waits"),
    [(MANY_RECORDS - 1, 500, []), (MANY_RECORDS, 500, [REST_S]), (2 * MANY_RECORDS, MANY_RECORDS, [])],
    ids=["few", "many", "all it may take"],
)
def test_a_busy_stage_rests_so_that_its_next_batch_is_fuller(records: int, most: int, waits: list[float]) -> None:
    bus, waited = make_bus(), list[float | None]()
    feed(bus, "s", session_of(30)[:records])
    run_until_idle(bus, SizedStage(), waited, batch_events=most)
    assert waited == waits


def test_a_session_nobody_feeds_is_ended_in_band() -> None:
    bus = make_bus()
    feed(bus, "s", session_of(10)[:-1])
    now = [1000.0]
    runner = StageRunner(bus, DENOISE, "live", CountingStage(), session_idle_s=60.0, clock=lambda: now[0])
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    wait_for(lambda: "s" in distinct(bus, AUDIO_DENOISED.name("live")))
    now[0] += 100.0
    wait_for(lambda: isinstance(distinct(bus, AUDIO_DENOISED.name("live"))["s"][-1][2], SessionEnded))
    stop.set()
    thread.join()
    assert distinct(bus, AUDIO_DENOISED.name("live"))["s"][-1][2] == SessionEnded("vanished")


def test_memory_is_given_back_when_sessions_end() -> None:
    bus = make_bus()
    stage = CountingStage()
    feed_many(bus, 20, 10)
    run_until_idle(bus, stage)
    assert stage.counts == {}
    assert bus.lag("denoise", [IN]) == 0


def test_a_snapshot_of_another_version_gives_up_its_session_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bus = make_bus()
    first, second = session_of(10), session_of(10)
    feed(bus, "old", first[:8])
    feed(bus, "kept", second[:8])
    run_until_idle(bus, CountingStage())

    class NewVersion(CountingStage):
        def restore(self, session_id: str, state: bytes) -> None:
            if session_id == "old":
                raise ValueError("no snapshot of mine")
            super().restore(session_id, state)

    feed(bus, "old", first[8:], first=9)
    feed(bus, "kept", second[8:], first=9)
    stage = NewVersion()
    run_until_idle(bus, stage)
    seen = distinct(bus, AUDIO_DENOISED.name("live"))
    assert isinstance(seen["kept"][-1][2], SessionEnded)
    assert not isinstance(seen["old"][-1][2], SessionEnded)
    assert stage.counts == {}
    assert "given up" in caplog.text


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    waiting = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it never happened")
