"""Every task that can have a model in the shadow: live results as without it, its own and its time apart, and how far the two are from each other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from tests.unit.models.scripted_tasks import TASKS, Task
from voxrelay import codec
from voxrelay.bus import kafka
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.cli import models as command
from voxrelay.events import (
    Attribute,
    Event,
    Lane,
    ModelActivated,
    Payload,
    SegmentClassified,
    SegmentDiarized,
    SpeakerSegment,
    StageFinished,
)
from voxrelay.models.activations import SHADOWED
from voxrelay.models.agreement import KINDS, Agreement, agreements, published_segments, shadowed_segments
from voxrelay.models.shadow import ShadowedStage
from voxrelay.models.slot import EngineSlot
from voxrelay.topology import SEGMENT_SHADOWED, StageNode, topic_specs

WITHIN_S = 60.0
LIVE: Lane = "live"
SHADOWABLE = [task for task in TASKS if task.node.shadow is not None]


def calls(stage: str) -> float:
    return REGISTRY.get_sample_value("voxrelay_engine_seconds_count", {"stage": stage}) or 0.0


class Log:
    """A bus, what is said in the shadow on it, and a way to publish."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.bus.create_topics(topic_specs(1))
        self._reader = self.bus.read({TopicPartition(SEGMENT_SHADOWED.name(LIVE), 0): "earliest"})
        self._producer = self.bus.producer()
        self._sequence = 0
        self.said: list[Event] = []

    def publish(self, node: StageNode, results: Sequence[Payload], session_id: str = "s") -> None:
        for payload in results:
            if type(payload) in node.writes[0].payloads and payload.is_durable:
                self._sequence += 1
                event = Event(session_id, payload, node.name, self._sequence, f"{node.name}/{self._sequence}", time.time())
                self._producer.send(node.writes[0].name(LIVE), *codec.encode(event, node.writes[0].encoding))

    def until_finished(self) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not any(isinstance(event.payload, StageFinished) for event in self.said):
            assert time.monotonic() < deadline
            self.said += [codec.decode(record.key, record.value, record.headers) for record in self._reader.poll(100, 0.02)]


@pytest.fixture
def log() -> Log:
    return Log()


def results(stage: Any, parts: Sequence[Payload]) -> Iterator[Payload]:
    for part in parts:
        yield from (event.payload for event in stage.process([Event("s", part)]))


@pytest.mark.parametrize("task", SHADOWABLE, ids=lambda task: task.name)
def test_the_live_results_are_as_without_it_and_its_own_and_its_time_are_apart(log: Log, task: Task) -> None:
    first, second = task.halves()
    parts = [*first, *second]
    plain = list(results(task.make(EngineSlot(task.name, task.engine(""))), parts))
    slot: EngineSlot[Any] = EngineSlot(task.name, task.engine(""), task.engine)
    stage = ShadowedStage(task.make(slot), log.bus, task.node.name, SEGMENT_SHADOWED, LIVE, slot, task.make)  # type: ignore[arg-type]  # a slot's part will do
    live_calls, shadow_calls = calls(task.node.name), calls(f"{task.node.name}.shadow")
    try:
        slot.exchange(ModelActivated(task.name, shadow="candidate", shadow_share=1.0))
        live = list(results(stage, parts))
        in_live = calls(task.node.name) - live_calls
        log.until_finished()
    finally:
        stage.close()
    assert live == plain
    assert task.tell(live) == [""]
    assert task.tell([event.payload for event in log.said]) == ["candidate"]
    assert len({event.id for event in log.said}) == len(log.said)  # a revision is a record of its own
    durable = [payload for payload in live if payload.is_durable]
    assert [type(event.payload) for event in log.said] == [type(payload) for payload in durable]
    assert calls(task.node.name) - live_calls == in_live > 0
    assert calls(f"{task.node.name}.shadow") > shadow_calls
    if task.name in KINDS:
        log.publish(task.node, live)
        kind = KINDS[task.name]
        in_shadow = shadowed_segments(log.bus, kind, time.time() - 100, time.time() + 100)["candidate"]
        (found,) = agreements(kind, published_segments(log.bus, kind, time.time() - 100, in_shadow), in_shadow)
        assert found.session_id == "s"
        assert found.compared > 0
        assert found.otherwise == 0  # the two models differ in nothing but their names


def test_three_tasks_can_have_one() -> None:
    assert {task.name for task in SHADOWABLE} == set(SHADOWED) == {"transcribe", *KINDS}


# --- how far they are apart --------------------------------------------------------------------------------------------------


def spoken(utterance: int, *turns: tuple[str, float, float], revision: int = 1) -> SegmentDiarized:
    start_s = utterance * 10.0
    segments = tuple(SpeakerSegment(speaker, start_s + begin, start_s + end, 1.0) for speaker, begin, end in turns)
    return SegmentDiarized(f"u{utterance}", revision, True, start_s, start_s + 10.0, segments)


def sounded(utterance: int, **attributes: Any) -> SegmentClassified:
    return SegmentClassified(f"u{utterance}", 1, True, 0.0, 1.0, tuple(Attribute(name, value, 1.0) for name, value in attributes.items()))


def apart(task: str, before: Sequence[Any], after: Sequence[Any]) -> list[Agreement]:
    return agreements(KINDS[task], *({"s": {one.utterance_id: one for one in side}} for side in (before, after)))


def test_speakers_are_matched_whatever_they_are_called() -> None:
    before = [spoken(0, ("S1", 0, 4), ("S2", 4, 6)), spoken(1, ("S2", 0, 10))]
    renamed = [spoken(0, ("S2", 0, 4), ("S1", 4, 6)), spoken(1, ("S1", 0, 10))]
    (same,) = apart("diarize", before, renamed)
    assert (same.utterances, same.compared, same.otherwise, same.share_otherwise) == (2, 16.0, 0.0, 0.0)
    (merged,) = apart("diarize", before, [spoken(0, ("S1", 0, 6)), spoken(1, ("S1", 0, 9))])
    assert (merged.compared, merged.otherwise) == (16.0, 5.0)  # four seconds of the one who spoke less, and one that is missed


def test_only_utterances_that_both_have_are_compared() -> None:
    (found,) = apart("diarize", [spoken(0, ("S1", 0, 4))], [spoken(0, ("S1", 0, 4)), spoken(1, ("S2", 0, 4))])
    assert (found.utterances, found.otherwise) == (1, 0.0)
    assert apart("diarize", [spoken(0)], [spoken(1)]) == []


def test_attributes_are_otherwise_by_label_by_a_tenth_or_by_being_there() -> None:
    before = [sounded(0, gender="female", pitch_hz=200.0, energy_dbfs=-20.0)]
    (found,) = apart("classify", before, [sounded(0, gender="male", pitch_hz=215.0, emotion="sad")])
    assert (found.compared, found.otherwise) == (4.0, 3.0)


def test_of_what_was_published_the_newest_revision_counts_and_the_words_attributes_do_not(log: Log) -> None:
    log.publish(KINDS["diarize"].node, [spoken(0, ("S1", 0, 4)), spoken(0, ("S2", 0, 4), revision=2)])
    (found,) = published_segments(log.bus, KINDS["diarize"], time.time() - 100, ["s"])["s"].values()
    assert found.segments[0].speaker == "S2"
    log.publish(KINDS["classify"].node, [sounded(0, gender="female")])
    text = next(task.node for task in TASKS if task.name == "classify-text")
    log.publish(text, [sounded(0, sentiment="positive")])
    (heard,) = published_segments(log.bus, KINDS["classify"], time.time() - 100, ["s"])["s"].values()
    assert heard.attributes[0].name == "gender"


@pytest.mark.parametrize("task", sorted(KINDS))
def test_the_command_prints_them(log: Log, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXRELAY_KAFKA_BOOTSTRAP", "broker:9092")
    monkeypatch.setattr(kafka, "connect", lambda _platform: log.bus)
    run = CliRunner().invoke(command.app, ["compare", "--task", task])
    assert (run.exit_code, "Nothing was said in the shadow" in run.output) == (0, True)
    live = [spoken(0, ("S1", 0, 4), ("S2", 4, 8))] if task == "diarize" else [sounded(0, gender="female", pitch_hz=200.0)]
    other = [spoken(0, ("S1", 0, 8))] if task == "diarize" else [sounded(0, gender="male", pitch_hz=200.0)]
    log.publish(KINDS[task].node, live)
    in_shadow = StageNode("shadow", task, SEGMENT_SHADOWED, (SEGMENT_SHADOWED,), task)
    log.publish(in_shadow, other)
    (told,) = json.loads(CliRunner().invoke(command.app, ["compare", "--task", task, "--json"]).stdout)
    assert (told["share_otherwise"], told["unit"]) == (0.5, KINDS[task].unit)
    assert [one["session_id"] for one in told["sessions"]] == ["s"]
    assert "50.0%" in CliRunner().invoke(command.app, ["compare", "--task", task]).output


def test_a_task_without_a_shadow_is_refused_in_a_sentence() -> None:
    run = CliRunner().invoke(command.app, ["compare", "--task", "denoise"])
    assert run.exit_code != 0
    assert "--task is one of" in str(run.exception)
