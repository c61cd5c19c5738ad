"""Consumers of Kafka: of partitions given by hand, and members of a group."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, Message
from confluent_kafka import Consumer as Client
from confluent_kafka import TopicPartition as Position

from voxrelay.bus.api import Headers, Rebalance, Record, TopicPartition
from voxrelay.errors import Fenced, Unavailable
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
LEAVE_WITHIN_S = 10.0
HEARTBEAT_MS = 100  # how soon a member learns that partitions are to move
WAKE_EVERY_S = 0.05
METADATA_WITHIN_S = 1.0
FENCED_AGAIN_WITHIN_S = 60.0
COMMITTED_WITHIN_S = 60.0
ASK_AGAIN_S = 0.2


def problem_of(what: str, error: KafkaError) -> Exception:
    """What to raise. Nothing can be tried again with a client that the library has given up: another process has its name, mostly."""
    if error.fatal() or error.code() == KafkaError._FATAL:
        return Fenced(error.str())
    return Unavailable(f"{what}: {error.str()}.")


class PartitionConsumer:
    def __init__(self, settings: Mapping[str, Any], keys: Collection[bytes] | None = None) -> None:
        """Of records with other ``keys``, where they are given, only their place is made: that takes a tenth of the time."""
        self.client = Client(dict(settings))
        self._keys = frozenset(keys) if keys is not None else None

    def poll(self, max_records: int = 500, timeout_s: float = 0.1) -> list[Record]:
        first = self.client.poll(timeout_s)
        if first is None:
            return []
        messages = [first]
        try:
            if max_records > 1:
                messages += self.client.consume(max_records - 1, 0)
            return [_record(message, self._keys) for message in messages]
        except BaseException:  # of a rebalance's callback, too
            self._give_back(messages)
            raise

    def _give_back(self, messages: Sequence[Message]) -> None:
        """The records that came with an error will come again: they are not lost with it."""
        first: dict[TopicPartition, int] = {}
        for message in messages:
            if message.error() is None:
                record = _record(message, ())
                first.setdefault(record.source, record.offset)
        for source, offset in first.items():
            with suppress(KafkaException):  # not assigned any more, or nothing comes through this client ever again
                self.client.seek(Position(source.topic, source.partition, offset))

    def seek(self, source: TopicPartition, offset: int) -> None:
        try:
            self.client.seek(Position(source.topic, source.partition, offset))
        except KafkaException as error:
            raise problem_of("The partition could not be positioned", error.args[0]) from error

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if offsets:
            positions = [Position(source.topic, source.partition, offset) for source, offset in offsets.items()]
            try:
                self.client.commit(offsets=positions, asynchronous=True)
            except KafkaException as error:
                raise problem_of("The offsets could not be committed", error.args[0]) from error

    def committed(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            positions = self.client.committed([Position(s.topic, s.partition) for s in sources], timeout=ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise problem_of("The Kafka broker did not tell the committed offsets", error.args[0]) from error
        return {TopicPartition(p.topic, p.partition): p.offset for p in positions if p.offset >= 0}

    def ends(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        known = {}
        for source in sources:
            try:
                bounds = self.client.get_watermark_offsets(Position(source.topic, source.partition), cached=True)
            except KafkaException:
                continue  # not assigned any more
            if bounds is not None and bounds[1] >= 0:
                known[source] = bounds[1]
        return known

    def pause(self, sources: Collection[TopicPartition]) -> None:
        self.client.pause([Position(s.topic, s.partition) for s in sources])

    def resume(self, sources: Collection[TopicPartition]) -> None:
        self.client.resume([Position(s.topic, s.partition) for s in sources])

    def close(self) -> None:
        self.client.close()


class GroupConsumer(PartitionConsumer):
    def __init__(self, settings: Mapping[str, Any], topics: Sequence[str], rebalance: Rebalance) -> None:
        self._settings = {**settings, "on_commit": self._on_commit}
        super().__init__(self._settings)
        self._rebalance, self._topics = rebalance, list(topics)
        self._owned: set[TopicPartition] = set()
        self._commits = 0  # that the broker has not answered
        self._has_moved = False  # since the pace was last looked after
        self._wake_at = 0.0
        self._fenced_at = -math.inf
        self._subscribe()

    def _subscribe(self) -> None:
        self.client.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def poll(self, max_records: int = 500, timeout_s: float = 0.1) -> list[Record]:
        try:
            records = super().poll(max_records, timeout_s)
        except Fenced:
            self._join_again()
            return []
        self._keep_pace()
        return records

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        with suppress(Fenced):  # the next poll looks after it
            super().commit(offsets)
            self._commits += bool(offsets)

    def _join_again(self) -> None:
        """A member that was missed while its coordinator was away can be fenced by itself: it has joined anew under its lasting name, and a
        request of its former membership is still on its way. So it begins afresh, with its partitions lost. Raises ``Fenced`` when that
        happens again within ``FENCED_AGAIN_WITHIN_S``: then another process has the name.
        """
        now = time.monotonic()
        if now < self._fenced_at + FENCED_AGAIN_WITHIN_S:
            raise Fenced("Another process joins the group under this one's name.")
        self._fenced_at = now
        log.warning("The group took this member for another process of its name; it joins again.", extra=fields(topic=self._topics[0]))
        self._give_up(self._rebalance.lost, sorted(self._owned))  # nothing is left to be handed over while the old client closes
        self.client.close()
        self._commits = 0
        self.client = Client(self._settings)
        self._subscribe()

    def _keep_pace(self) -> None:
        """librdkafka looks after its group once a second unless something wakes it, and joins a group at most once a second unless it got
        metadata in between; a member that comes needs two joins of everybody, and partitions that move rest meanwhile.
        """
        now = time.monotonic()
        with suppress(KafkaException):  # then it takes its second
            if self._has_moved:
                self._has_moved = False
                self.client.list_topics(self._topics[0], timeout=METADATA_WITHIN_S)
            elif now >= self._wake_at:
                self._wake_at = now + WAKE_EVERY_S
                self.client.assignment()  # asks the thread that sends the heartbeats

    def close(self) -> None:
        """Hands its partitions over at once. Who is only missed when its session with the group has run out keeps them from everybody for so long:
        a member with a lasting name, and one that librdkafka closes while a commit is on its way, since it does not tell the group that it leaves.
        """
        with suppress(KafkaException):  # a client that failed for good has nothing to hand over
            self.client.unsubscribe()
        deadline = time.monotonic() + LEAVE_WITHIN_S
        while (self.client.assignment() or self._commits) and time.monotonic() < deadline:
            self.client.poll(0.05)  # the revocation and the answers to commits come through here
        super().close()

    def _on_commit(self, _error: KafkaError | None, _positions: list[Position]) -> None:
        self._commits -= 1

    def _on_assign(self, client: Client, positions: list[Position]) -> None:
        self._has_moved = True
        sources = _sources(positions)
        self._owned.update(sources)
        starts = dict(self._rebalance.assigned(sources))
        starts |= self._committed_soon([source for source in sources if source not in starts])
        for position in positions:
            position.offset = starts.get(TopicPartition(position.topic, position.partition), OFFSET_INVALID)
        client.incremental_assign(positions)

    def _committed_soon(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Asked for here and not by librdkafka: where the group's coordinator is just moving, that one (2.16) forgets that it asked, and fetches
        nothing of the partition until the next rebalance (its issue 5586). Where nothing is committed it begins at the earliest.
        """
        deadline = time.monotonic() + COMMITTED_WITHIN_S
        while sources:
            try:
                return self.committed(sources)
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    log.warning("The committed offsets are left to the library.", extra=fields(topic=self._topics[0], reason=str(error)))
                    break
                time.sleep(ASK_AGAIN_S)
        return {}

    def _on_revoke(self, client: Client, positions: list[Position]) -> None:  # noqa: ARG002  # the client's signature
        self._has_moved = True
        self._give_up(self._rebalance.revoked, _sources(positions))

    def _on_lost(self, client: Client, positions: list[Position]) -> None:  # noqa: ARG002  # the client's signature
        self._has_moved = True
        self._give_up(self._rebalance.lost, _sources(positions))

    def _give_up(self, tell: Callable[[Sequence[TopicPartition]], None], sources: Sequence[TopicPartition]) -> None:
        owned = [source for source in sources if source in self._owned]
        if owned:
            self._owned.difference_update(owned)
            tell(owned)


def _sources(positions: list[Position]) -> list[TopicPartition]:
    return [TopicPartition(position.topic, position.partition) for position in positions]


def _record(message: Message, keys: Collection[bytes] | None) -> Record:
    error = message.error()
    if error is not None:
        raise problem_of("The Kafka broker reports", error)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise AssertionError("a message without an error has a place")
    key = message.key() or b""
    if keys is not None and key not in keys:
        return Record(TopicPartition(topic, partition), offset, key, None, (), 0)
    headers = cast(Headers, message.headers() or ())
    return Record(TopicPartition(topic, partition), offset, key, message.value(), headers, message.timestamp()[1])
