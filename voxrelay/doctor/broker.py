"""Kafka: does it answer, are the topics those of the topology, is somebody in every group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from voxrelay.doctor.report import Finding, finding, named
from voxrelay.errors import Unavailable
from voxrelay.events import Lane
from voxrelay.topology import PROJECTOR, STAGES, TopicSpec, consumer_group

if TYPE_CHECKING:
    from voxrelay.bus.kafka_inspection import KafkaInspection, TopicState

OLDEST = "3.0"
GATEWAY_GROUP = "gateway"
OWN_LINES = ("cleanup.policy", "retention.ms")


def broker(inspection: KafkaInspection, bootstrap: str, replication: int) -> list[Finding]:
    try:
        brokers, version = inspection.brokers(), inspection.version()
    except Unavailable:
        return [finding("BROKER_SILENT", bootstrap=bootstrap)]
    found = [finding("BROKER_ANSWERS", version=version or "(version not told)", brokers=brokers)]
    if version and _major(version) < _major(OLDEST):
        found = [finding("BROKER_OLD", version=version, oldest=OLDEST)]
    if brokers < replication:
        found.append(finding("BROKERS_TOO_FEW", copies=replication, brokers=brokers))
    return found


def topics(inspection: KafkaInspection, specs: Sequence[TopicSpec], replication: int) -> list[Finding]:
    """``specs`` are the topics there should be."""
    try:
        there = inspection.topics([spec.name for spec in specs])
    except Unavailable:
        return [finding("TOPICS_UNSEEN")]
    present = [(spec, there[spec.name]) for spec in specs if spec.name in there]
    partitions = max(spec.partitions for spec in specs)
    wrong = {
        "TOPICS_MISSING": [spec.name for spec in specs if spec.name not in there],
        "TOPICS_OFFLINE": [spec.name for spec, topic in present if not topic.has_leaders],
        "TOPICS_PARTITIONS_FEWER": [
            f"{spec.name} ({topic.partitions} of {spec.partitions})" for spec, topic in present if topic.partitions < spec.partitions
        ],
        "TOPICS_PARTITIONS_MORE": [
            f"{spec.name} ({topic.partitions}, not {spec.partitions})" for spec, topic in present if topic.partitions > spec.partitions
        ],
        "TOPICS_REPLICATION": [f"{spec.name} ({topic.replication})" for spec, topic in present if topic.replication < replication],
        "TOPICS_CLEANUP": _differing(present, ["cleanup.policy"]),
        "TOPICS_RETENTION": _differing(present, ["retention.ms"]),
        "TOPICS_SETTINGS": _differing(present, sorted({name for spec in specs for name in spec.config} - set(OWN_LINES))),
    }
    found = [finding(code, names=named(names), partitions=partitions, copies=replication) for code, names in wrong.items() if names]
    return found or [finding("TOPICS_AGREE", topics=len(specs))]


def groups(inspection: KafkaInspection, lanes: Sequence[Lane]) -> list[Finding]:
    names = expected_groups(lanes)
    try:
        members = inspection.members(names)
    except Unavailable:
        return [finding("GROUPS_UNSEEN")]
    empty = [name for name in names if not members[name]]
    return [finding("GROUPS_EMPTY", names=named(empty))] if empty else [finding("GROUPS_AT_WORK", groups=len(names))]


def expected_groups(lanes: Sequence[Lane]) -> list[str]:
    """Who reads on these lanes, by the topology; and the gateways, which own partitions by one group for both."""
    stages = [consumer_group(stage.name, lane) for stage in STAGES for lane in lanes if lane in stage.reads.lanes]
    return [*stages, *(consumer_group(PROJECTOR.name, lane) for lane in lanes), GATEWAY_GROUP]


def _differing(present: Sequence[tuple[TopicSpec, TopicState]], settings: Sequence[str]) -> list[str]:
    return [
        f"{spec.name} ({name}={topic.settings.get(name)})"
        for spec, topic in present
        for name in settings
        if name in spec.config and not _agree(spec.config, topic.settings, name)
    ]


def _agree(wanted: Mapping[str, str], found: Mapping[str, str], name: str) -> bool:
    """The parts of a list may stand in any order."""
    return set(wanted[name].split(",")) == set(found.get(name, "").split(","))


def _major(version: str) -> int:
    return int(version.partition(".")[0])
