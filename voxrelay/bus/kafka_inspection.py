"""What an operator wants to know of a Kafka cluster: brokers, topics with their settings, who is in which group. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from voxrelay.bus.kafka import properties_in
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.settings import PlatformSettings

_silent = logging.getLogger("voxrelay.kafka_inspection")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False  # what goes wrong is said by who asks
NEWEST_KNOWN_BY_SETTING = "inter.broker.protocol.version"  # brokers before 4.0 have it and say their version in it


@dataclass(frozen=True, slots=True)
class TopicState:
    """``replication`` is the smallest number of copies of its partitions; ``settings`` are those in force."""

    partitions: int
    replication: int
    has_leaders: bool
    settings: Mapping[str, str]


class KafkaInspection:
    """Thread-safe. Every call ends within ``timeout_s`` a request, and raises ``Unavailable`` when the brokers do not answer."""

    def __init__(self, bootstrap: str, timeout_s: float, extra: Mapping[str, Any] | None = None) -> None:
        self._timeout_s = timeout_s
        settings: dict[str, Any] = {"bootstrap.servers": bootstrap, "logger": _silent, "log_level": 0, "error_cb": _ignore, **(extra or {})}
        self._admin = AdminClient(settings)

    def brokers(self) -> int:
        return len(self._metadata().brokers)

    def version(self) -> str:
        """Such as '3.7-IV4'; from 4.0 on brokers tell no version, and it is '4.0 or later'. Empty when this user may not ask."""
        broker = str(next(iter(self._metadata().brokers)))
        try:
            settings = self._settings(ResourceType.BROKER, [broker])[broker]
        except Unavailable:
            return ""
        return settings.get(NEWEST_KNOWN_BY_SETTING, "4.0 or later")

    def topics(self, names: Collection[str]) -> dict[str, TopicState]:
        """Those of the names that exist."""
        there = {name: topic for name, topic in self._metadata().topics.items() if name in names}
        settings = self._settings(ResourceType.TOPIC, list(there)) if there else {}
        return {
            name: TopicState(
                partitions=len(topic.partitions),
                replication=min(len(partition.replicas) for partition in topic.partitions.values()),
                has_leaders=all(partition.leader >= 0 for partition in topic.partitions.values()),
                settings=settings[name],
            )
            for name, topic in there.items()
        }

    def members(self, groups: Collection[str]) -> dict[str, int]:
        """How many are in each group; 0 for one that does not exist."""
        found = dict.fromkeys(groups, 0)
        for name, answer in self._admin.describe_consumer_groups(list(groups), request_timeout=self._timeout_s).items():
            try:
                found[name] = len(answer.result(2 * self._timeout_s).members)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise Unavailable("The brokers do not tell who is in the consumer groups.") from error
        return found

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=self._timeout_s)
        except KafkaException as error:
            raise Unavailable("No Kafka broker answers.") from error

    def _settings(self, kind: ResourceType, names: Collection[str]) -> dict[str, dict[str, str]]:
        asked = self._admin.describe_configs([ConfigResource(kind, name) for name in names], request_timeout=self._timeout_s)
        try:
            answers = {resource.name: answer.result(2 * self._timeout_s) for resource, answer in asked.items()}
        except KafkaException as error:
            raise Unavailable("The brokers do not tell their settings.") from error
        return {name: {key: entry.value or "" for key, entry in entries.items()} for name, entries in answers.items()}


def _ignore(_error: object) -> None:
    """Asked for by librdkafka; the calls raise by themselves."""


def inspect(platform: PlatformSettings, timeout_s: float) -> KafkaInspection:
    """The cluster of these settings. Raises ``EngineUnusable`` for properties that librdkafka does not take."""
    properties = properties_in(platform.kafka_properties)
    try:
        return KafkaInspection(platform.kafka_bootstrap, timeout_s, properties)
    except KafkaException as error:
        raise EngineUnusable(f"Kafka's client does not take these settings: {error.args[0].str()}.") from error
