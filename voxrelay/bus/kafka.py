"""The bus over Apache Kafka, by confluent-kafka (docs/adr/0001)."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_INVALID, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message
from confluent_kafka import Producer as ProducerClient
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType

from voxrelay.bus.api import Consumer, Headers, Producer, Rebalance, Start, TopicPartition
from voxrelay.bus.kafka_consumers import ANSWER_TIMEOUT_S, HEARTBEAT_MS, LEAVE_WITHIN_S, GroupConsumer, PartitionConsumer
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.settings import PlatformSettings
from voxrelay.telemetry import fields
from voxrelay.topology import TopicSpec

log = logging.getLogger(__name__)

ASK_AGAIN_AFTER_S = 4.0  # the broker that was asked may have died, and another one leads by then
QUEUE_MESSAGES = 200_000
QUEUE_KILOBYTES = 256 * 1024
RETRY_S = 0.1
TOLD_EVERY_S = 10.0
ANY_PARTITION = -1
HAS_MEMBERS = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.REBALANCE_IN_PROGRESS)  # answers of a group that somebody is in
SOCKET_TIMEOUT_MS = 10_000  # a broker that is gone without a word is asked for so long, instead of the minute that is librdkafka's default
SESSION_TIMEOUT_MS = 12_000  # a broker that dies is missed after 9 s; its groups' members are to outlast it and go on with the next coordinator
FETCH_KILOBYTES = 32 * 1024  # read ahead of one consumer


_quiet_until: dict[str, float] = {}


def _is_due(kind: str) -> bool:
    """Once in ``TOLD_EVERY_S`` of each kind: every client of a process fails some twenty times a second while no broker answers."""
    now = time.monotonic()
    if now < _quiet_until.get(kind, now):
        return False
    _quiet_until[kind] = now + TOLD_EVERY_S
    return True


logging.getLogger("librdkafka").addFilter(lambda record: _is_due(record.getMessage().partition(" ")[0]))


def _on_client_error(error: KafkaError) -> None:
    if _is_due(error.name()):
        log.warning("The Kafka client reports a problem.", extra=fields(code=error.name(), detail=error.str()))


# What decides about losing, repeating and order is the platform's own; a file of properties says how to reach the brokers and nothing else.
_PREFIXES_OF_PROPERTIES = ("security.", "ssl.", "sasl.", "socket.", "broker.address.", "client.", "enable.ssl.", "https.")


def properties_in(path: Path | None) -> dict[str, str]:
    """The settings of a file, ``name=value`` a line; ``#`` begins a comment line; none without a file.

    Raises ``EngineUnusable`` saying what is wrong with it.
    """
    if path is None:
        return {}
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise EngineUnusable(f"The Kafka properties in {path} cannot be read: {type(error).__name__}.") from error
    properties = {}
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name.startswith(_PREFIXES_OF_PROPERTIES):
            raise EngineUnusable(
                f"Line {number} of {path} is no setting of how to reach the brokers: write name=value with a name that begins with"
                f" {', '.join(_PREFIXES_OF_PROPERTIES)}."
            )
        properties[name] = value
    return properties


def connect(platform: PlatformSettings) -> KafkaBus:
    """The bus of these settings. Raises ``EngineUnusable`` for properties that librdkafka does not take."""
    properties = properties_in(platform.kafka_properties)
    try:
        return KafkaBus(platform.kafka_bootstrap, platform.instance, properties)
    except KafkaException as error:
        raise EngineUnusable(f"The Kafka client cannot be set up: {error.args[0].str()}") from error


class KafkaBus:
    """``instance`` names this process for good (a pod's name): a restart under the same name takes up its partitions at once."""

    outlives_process = True

    def __init__(self, bootstrap: str, instance: str = "", extra: Mapping[str, Any] | None = None) -> None:
        """``extra`` are further librdkafka settings for every client (TLS, SASL)."""
        self._common: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "error_cb": _on_client_error,
            "logger": logging.getLogger("librdkafka"),
            "socket.timeout.ms": SOCKET_TIMEOUT_MS,
            **(extra or {}),
        }
        self._instance = instance
        self._admin = AdminClient(self._common)

    def producer(self, *, linger_ms: float = 0.0) -> Producer:
        return _KafkaProducer(self._common, linger_ms)

    def subscribe(self, group: str, topics: Sequence[str], rebalance: Rebalance) -> Consumer:
        for topic in topics:
            self.partitions(topic)
        instance = {"group.instance.id": f"{self._instance}.{group}"} if self._instance else {}
        return GroupConsumer(self._consumer_settings(group) | instance, topics, rebalance)

    def read(self, starts: Mapping[TopicPartition, Start], keys: Collection[bytes] | None = None) -> Consumer:
        reader = PartitionConsumer(self._consumer_settings(f"reader-{uuid.uuid4().hex}"), keys)
        bounds = self.offsets([source for source, start in starts.items() if not isinstance(start, int)])
        positions = []
        for source, start in starts.items():
            offset = start if isinstance(start, int) else bounds[source][0 if start == "earliest" else 1]
            positions.append(Position(source.topic, source.partition, offset))
        reader.client.assign(positions)
        return reader

    def partitions(self, topic: str) -> int:
        found = self._metadata(topic).topics.get(topic)
        if found is None or found.error is not None or not found.partitions:
            raise Unavailable(f"There is no topic {topic}: run 'voxrelay topics create'.")
        return len(found.partitions)

    def offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        starts = self._list_offsets(sources, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # confluent's is untyped
        ends = self._list_offsets(sources, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {source: (starts[source], ends[source]) for source in sources}

    def offsets_at(self, sources: Collection[TopicPartition], time_s: float) -> dict[TopicPartition, int]:
        ends = self.offsets(sources)
        found = self._list_offsets(sources, OffsetSpec.for_timestamp(max(0, int(time_s * 1000))))
        return {source: offset if offset >= 0 else ends[source][1] for source, offset in found.items()}

    def _list_offsets(self, sources: Collection[TopicPartition], which: OffsetSpec) -> dict[TopicPartition, int]:
        """Asks until there is an answer for all of them. Raises ``Unavailable`` when there is none in time."""
        if not sources:
            return {}
        asked = {Position(source.topic, source.partition): which for source in sources}
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        fresh_at = time.monotonic() + ASK_AGAIN_AFTER_S
        while True:
            try:
                answers = self._admin.list_offsets(asked, request_timeout=ASK_AGAIN_AFTER_S)
                found = {TopicPartition(at.topic, at.partition): answer.result(ASK_AGAIN_AFTER_S + RETRY_S).offset for at, answer in answers.items()}
                if OFFSET_INVALID in found.values():  # without an error, of a broker that has just died (librdkafka 2.16)
                    raise KafkaException(KafkaError(KafkaError._NO_OFFSET))
                return found
            except (KafkaException, TimeoutError) as error:
                now = time.monotonic()
                if isinstance(error, TimeoutError) or now > fresh_at:
                    # The old one may go on asking a broker that died, or believe for ever that a partition has no leader.
                    self._admin, fresh_at = AdminClient(self._common), now + ASK_AGAIN_AFTER_S
                if now > deadline:
                    raise Unavailable("The Kafka brokers did not tell the topics' offsets.") from error
                time.sleep(RETRY_S)  # a partition has no leader for a moment after its creation or a broker's death

    def lag(self, group: str, topics: Collection[str]) -> int:
        sources = [TopicPartition(topic, number) for topic in topics for number in range(self.partitions(topic))]
        bounds = self.offsets(sources)
        client = PartitionConsumer(self._consumer_settings(group))
        try:
            committed = client.committed(sources)
        finally:
            client.close()
        return sum(end - committed.get(source, start) for source, (start, end) in bounds.items())

    def rewind(self, group: str, topics: Collection[str], time_s: float) -> int:
        """The group reads again what was written at this wall-clock time or later; how many records that are at most. It must have no members.

        Members that are just leaving are waited for. Raises ``Unavailable`` when some stay, or the broker does not answer.
        """
        sources = [TopicPartition(topic, number) for topic in topics for number in range(self.partitions(topic))]
        ends, starts = self.offsets(sources), self.offsets_at(sources, time_s)
        deadline = time.monotonic() + LEAVE_WITHIN_S
        while True:
            try:
                self._alter_offsets(group, starts)
                break
            except KafkaException as error:
                if error.args[0].code() not in HAS_MEMBERS or time.monotonic() > deadline:
                    raise Unavailable(f"The position of {group} was not changed (end its members first): {error.args[0].str()}.") from error
                time.sleep(RETRY_S)
        return sum(ends[source][1] - starts[source] for source in sources)

    def _alter_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        positions = ConsumerGroupTopicPartitions(group, [Position(source.topic, source.partition, offset) for source, offset in offsets.items()])
        for answer in self._admin.alter_consumer_group_offsets([positions], request_timeout=ANSWER_TIMEOUT_S).values():
            for position in answer.result(ANSWER_TIMEOUT_S).topic_partitions:
                if position.error is not None:
                    raise KafkaException(position.error)

    def create_topics(self, specs: Sequence[TopicSpec], replication: int = 1) -> list[str]:
        existing = self.topics()
        missing = [spec for spec in specs if spec.name not in existing]
        grown = [spec for spec in specs if existing.get(spec.name, spec.partitions) < spec.partitions]
        durable = {"min.insync.replicas": "2"} if replication >= 3 else {}
        try:
            if missing:
                topics = [NewTopic(s.name, s.partitions, replication, config=s.config | durable) for s in missing]
                for name, answer in self._admin.create_topics(topics, operation_timeout=ANSWER_TIMEOUT_S).items():
                    _settle(answer, name, KafkaError.TOPIC_ALREADY_EXISTS)
            if grown:
                partitions = [NewPartitions(s.name, s.partitions) for s in grown]
                for name, answer in self._admin.create_partitions(partitions).items():
                    _settle(answer, name)
            kept = [spec for spec in specs if spec.name in existing]
            if kept:
                for resource, answer in self._admin.incremental_alter_configs([_settings_of(spec) for spec in kept]).items():
                    _settle(answer, str(resource))
        except KafkaException as error:
            raise Unavailable(f"The Kafka broker did not create the topics: {error.args[0].str()}.") from error
        return [spec.name for spec in (*missing, *grown)]

    def topics(self) -> dict[str, int]:
        return {name: len(topic.partitions) for name, topic in self._metadata().topics.items() if not name.startswith("__")}

    def close(self) -> None:
        """Producers and consumers are closed by who made them."""

    def _metadata(self, topic: str | None = None) -> Any:
        try:
            return self._admin.list_topics(topic, timeout=ANSWER_TIMEOUT_S) if topic else self._admin.list_topics(timeout=ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise Unavailable(f"No Kafka broker answers at {self._common['bootstrap.servers']}.") from error

    def _consumer_settings(self, group: str) -> dict[str, Any]:
        return {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "max.poll.interval.ms": 600_000,
            "queued.max.messages.kbytes": FETCH_KILOBYTES,
            "fetch.wait.max.ms": 100,
            **self._common,
        }


def _settings_of(spec: TopicSpec) -> ConfigResource:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in spec.config.items()]
    return ConfigResource(ResourceType.TOPIC, spec.name, incremental_configs=entries)


def _settle(answer: Any, name: str, tolerated: int | None = None) -> None:
    try:
        answer.result(ANSWER_TIMEOUT_S)
    except KafkaException as error:
        if tolerated is None or error.args[0].code() != tolerated:
            log.error("The broker refused a change of a topic.", extra=fields(topic=name))
            raise


class _KafkaProducer:
    def __init__(self, common: Mapping[str, Any], linger_ms: float) -> None:
        self._client = ProducerClient(
            {
                **common,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": linger_ms,
                "queue.buffering.max.messages": QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
                "delivery.timeout.ms": 60_000,
                "message.max.bytes": 8_000_000,
            }
        )
        self._failure: KafkaError | None = None

    def send(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
        *,
        partition: int | None = None,
        on_delivered: Callable[[Exception | None], None] | None = None,
    ) -> None:
        report = self._note if on_delivered is None else self._telling(on_delivered)
        number = ANY_PARTITION if partition is None else partition
        try:
            self._client.produce(topic, value, key, number, on_delivery=report, headers=headers if isinstance(headers, list) else list(headers))
        except BufferError as error:
            raise Unavailable("The producer's queue is full: the Kafka broker does not keep up.") from error

    def report(self) -> None:
        self._client.poll(0)

    def flush(self, timeout_s: float = 30.0) -> None:
        left = self._client.flush(timeout_s)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise Unavailable(f"The Kafka broker did not take a record: {failure.str()}.")
        if left:
            raise Unavailable("The Kafka broker did not acknowledge in time.")

    def close(self) -> None:
        self._client.flush(5.0)

    def _note(self, error: KafkaError | None, message: Message) -> None:  # noqa: ARG002  # the client's signature
        if error is not None:
            self._failure = error

    def _telling(self, on_delivered: Callable[[Exception | None], None]) -> Callable[[KafkaError | None, Message], None]:
        def tell(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                on_delivered(None)
            else:
                self._failure = error
                on_delivered(KafkaException(error))

        return tell
