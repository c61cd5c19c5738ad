"""The topology is one piece: names, co-partitioning, routes; documents that derive from it are up to date."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from voxrelay import topology
from voxrelay.describe import asyncapi, picture
from voxrelay.events import LANES
from voxrelay.topology import CONTROL_TOPICS, GATEWAY_READS, GATEWAY_WRITES, PROJECTOR, STAGES, TOPICS, topic_specs

REPOSITORY = Path(__file__).resolve().parents[2]


def test_names_follow_the_pattern_and_are_unique() -> None:
    names = [topic.name(lane) for topic in TOPICS for lane in topic.lanes] + [topic.name for topic in CONTROL_TOPICS]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"speech\.[a-z]+\.[a-z]+(\.bulk)?\.v1", name)
        assert not any(f".{stage.service}." in name for stage in STAGES)


def test_everything_is_copartitioned_and_has_dead_letters_and_checkpoints() -> None:
    specs = {spec.name: spec for spec in topic_specs(6)}
    control = {topic.name for topic in CONTROL_TOPICS}
    assert {spec.partitions for spec in specs.values() if spec.name not in control} == {6}
    assert {(specs[name].partitions, specs[name].config["cleanup.policy"]) for name in control} == {(1, "compact")}
    for topic in TOPICS:
        for lane in topic.lanes:
            assert f"{topic.name(lane)}.dlq" in specs
    for stage in STAGES:
        for lane in stage.reads.lanes:
            assert specs[topology.checkpoint_topic(stage, lane)].config["cleanup.policy"].startswith("compact")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_what_a_stage_reads_somebody_writes(stage: topology.StageNode) -> None:
    assert stage.reads in GATEWAY_WRITES or any(stage.reads in other.writes for other in STAGES)


def test_what_is_written_somebody_reads() -> None:
    read = {stage.reads for stage in STAGES} | set(PROJECTOR.reads) | set(GATEWAY_READS)
    in_shadow = {stage.shadow for stage in STAGES if stage.shadow is not None}  # for people alone
    assert read == set(TOPICS) - in_shadow


def test_a_session_is_complete_when_every_producer_it_asked_for_has_finished() -> None:
    assert topology.stages_to_finish(("denoise", "classify")) == {"denoise", "classify", "classify.text"}


def test_groups_and_checkpoints_of_the_lanes_are_apart() -> None:
    assert len({topology.consumer_group("denoise", lane) for lane in LANES}) == 2
    assert len({topology.checkpoint_topic(topology.DENOISE, lane) for lane in LANES}) == 2


def test_the_asyncapi_document_is_up_to_date() -> None:
    written = json.loads((REPOSITORY / "docs" / "asyncapi.json").read_text())
    assert written == asyncapi(version("voxrelay")), "run 'make fmt' and commit docs/asyncapi.json"


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = asyncapi("0")
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_picture_is_up_to_date(page: str) -> None:
    assert f"```mermaid\n{picture()}```" in (REPOSITORY / page).read_text(), "put the output of 'voxrelay topics picture' there"
