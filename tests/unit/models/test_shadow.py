"""A model in the shadow hears what the live one hears, to a topic of its own; whatever it does, the live results are as without it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.transcribe.engine import Advance, Hypothesis, Transcriber
from services.transcribe.stage import TranscribeStage
from tests.unit.transcribe.scripted import ScriptedTranscriber
from tests.unit.transcribe.test_stage import conversation
from voxrelay import codec
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Refused
from voxrelay.events import Event, ModelActivated, Payload, SegmentTranscribed, SessionConfig, StageFinished
from voxrelay.models import shadow
from voxrelay.models.activations import activated, rolled_back, shadowed
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.comparison import differences
from voxrelay.models.comparison import shadowed as said_in_shadow
from voxrelay.models.shadow import ShadowedStage
from voxrelay.models.slot import EngineSlot, part_of
from voxrelay.telemetry import SHADOW_LEFT_OUT
from voxrelay.topology import SEGMENT_SHADOWED, topic_specs

WITHIN_S = 60.0
CONVERSATION = conversation(SessionConfig())


class Shadowy(ScriptedTranscriber):
    """Says one word less, fails where it is told to, and goes on only when it is let."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model, self.is_closed, self.fails = model, False, False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def advance(self, work: Sequence[Advance]) -> list[Hypothesis | None]:
        assert self.may_go_on.wait(WITHIN_S)
        if self.fails:
            raise RuntimeError("a library's own")
        answers = super().advance(work)
        return [replace(answer, text=f"hm {' '.join(answer.text.split()[1:])}") if answer is not None else None for answer in answers]

    def close(self) -> None:
        self.is_closed = True


class Scene:
    def __init__(self) -> None:
        self.made: dict[str, Shadowy] = {}
        self.slot: EngineSlot[Transcriber] = EngineSlot("transcribe", ScriptedTranscriber(), self._load)
        self.bus = MemoryBus()
        self.bus.create_topics(topic_specs(2))
        self.name = f"stage-{uuid.uuid4().hex}"  # of the counters, which outlive a scene
        self.stage = ShadowedStage(
            TranscribeStage(self.slot), self.bus, self.name, SEGMENT_SHADOWED, "live", self.slot, lambda supply: TranscribeStage(supply)
        )
        topic = SEGMENT_SHADOWED.name("live")
        self._reader = self.bus.read({TopicPartition(topic, number): "earliest" for number in range(2)})
        self.said: dict[str, list[Payload]] = {}

    def _load(self, model: str) -> Shadowy:
        if model == "broken":
            raise RuntimeError("weights of another net")
        self.made[model] = Shadowy(model)
        return self.made[model]

    @property
    def left_out(self) -> float:
        return SHADOW_LEFT_OUT.labels(self.name)._value.get()  # type: ignore[no-any-return]

    def live(self, session_id: str, parts: Sequence[Payload] = CONVERSATION) -> list[Payload]:
        return [result.payload for part in parts for result in self.stage.process([Event(session_id, part)])]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline
            for record in self._reader.poll(100, 0.02):
                event = codec.decode(record.key, record.value, record.headers)
                self.said.setdefault(event.session_id, []).append(event.payload)

    def is_heard(self, session_id: str) -> bool:
        return any(isinstance(payload, StageFinished) for payload in self.said.get(session_id, []))


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.stage.close()


def without_shadow(session_id: str = "s") -> list[Payload]:
    stage = TranscribeStage(EngineSlot("transcribe", ScriptedTranscriber()))
    return [result.payload for part in CONVERSATION for result in stage.process([Event(session_id, part)])]


def in_shadow(model: str, share: float = 1.0) -> ModelActivated:
    return ModelActivated("transcribe", shadow=model, shadow_share=share)


def test_the_live_results_are_as_without_it_and_its_own_go_to_their_topic(scene: Scene) -> None:
    begin_s = time.time() - 10
    scene.live("before")
    scene.slot.exchange(in_shadow("other"))
    live = scene.live("s")
    assert live == without_shadow()
    scene.until(lambda: scene.is_heard("s"))
    first, second, finished = scene.said["s"]
    assert isinstance(first, SegmentTranscribed)
    assert first.is_final
    assert first.engine.version == "1+other"
    assert isinstance(second, SegmentTranscribed)
    assert isinstance(finished, StageFinished)
    texts = said_in_shadow(scene.bus, begin_s, time.time() + 10)
    before = {"s": {payload.utterance_id: payload.text for payload in live if isinstance(payload, SegmentTranscribed) and payload.is_final}}
    (found,) = differences(before, texts["other"])
    assert (found.utterances, found.errors) == (2, 2)
    assert scene.said.keys() == {"s"}


def test_a_share_of_the_sessions_is_heard_and_they_are_others_than_a_candidates(scene: Scene) -> None:
    scene.slot.exchange(in_shadow("other", 0.5))
    sessions = [f"session-{number}" for number in range(16)]
    wanted = {session for session in sessions if scene.slot.is_shadowed(session)}
    assert wanted == {session for session in sessions if part_of(session, b"shadow") < 0.5}
    assert wanted != {session for session in sessions if part_of(session) < 0.5}
    for session in sessions:
        scene.live(session)
    scene.until(lambda: all(scene.is_heard(session) for session in wanted))
    assert scene.said.keys() == wanted
    assert scene.left_out == 0


def test_a_slow_shadow_leaves_sessions_out_whole_and_nobody_waits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "MOST_WAITING", 30)
    scene.slot.exchange(in_shadow("slow"))
    scene.made["slow"].may_go_on.clear()
    assert [scene.live(session) for session in ("a", "b", "c")] == [without_shadow()] * 3
    assert scene.left_out == 3
    scene.made["slow"].may_go_on.set()
    scene.until(lambda: not scene.stage._waiting and not scene.stage._gone)
    scene.live("d", CONVERSATION[:20])
    scene.until(lambda: not scene.stage._waiting)
    scene.live("d", CONVERSATION[20:])
    scene.until(lambda: scene.is_heard("d"))
    assert scene.said.keys() - {"d"} <= {"a"}  # of what it had heard when it was left out, nothing is finished
    assert not any(scene.is_heard(session) for session in "abc")


def test_a_shadow_that_fails_hears_the_next_sessions(scene: Scene) -> None:
    scene.slot.exchange(in_shadow("other"))
    scene.made["other"].fails = True
    assert scene.live("s") == without_shadow()
    scene.until(lambda: scene.left_out == 1)
    scene.made["other"].fails = False
    scene.live("t")
    scene.until(lambda: scene.is_heard("t"))
    assert scene.said.keys() == {"t"}


def test_a_model_taken_out_of_the_shadow_is_closed_in_the_middle_of_its_sessions(scene: Scene) -> None:
    scene.slot.exchange(in_shadow("other"))
    results = scene.live("s", CONVERSATION[:20])
    scene.slot.exchange(ModelActivated("transcribe"))
    results += scene.live("s", CONVERSATION[20:])
    assert results == without_shadow()
    scene.until(lambda: scene.made["other"].is_closed)
    assert scene.left_out == 0
    assert scene.said == {}


def test_a_session_that_is_taken_up_again_is_heard_no_further(scene: Scene) -> None:
    scene.slot.exchange(in_shadow("other"))
    scene.live("s", CONVERSATION[:30])
    state = scene.stage.snapshot("s")
    assert state is not None
    scene.stage.forget("s")
    scene.stage.restore("s", state)
    scene.live("s", CONVERSATION[30:])
    scene.live("t")
    scene.until(lambda: scene.is_heard("t"))
    assert not scene.is_heard("s")
    assert scene.left_out == 1


def test_a_shadow_that_cannot_be_loaded_holds_nothing_up(scene: Scene) -> None:
    with pytest.raises(EngineUnusable, match="'broken' could not be loaded"):
        scene.slot.exchange(replace(in_shadow("broken"), model="better"))
    assert scene.slot.decision == ModelActivated("transcribe", "better")
    assert scene.slot.models() == {"", "better"}


def test_it_goes_on_while_another_model_is_activated(scene: Scene) -> None:
    scene.slot.exchange(in_shadow("other"))
    scene.live("s", CONVERSATION[:20])
    shadow_engine = scene.made["other"]
    scene.slot.exchange(replace(in_shadow("other"), model="better"))
    scene.live("s", CONVERSATION[20:])
    scene.until(lambda: scene.is_heard("s"))
    assert scene.made["other"] is shadow_engine
    assert not shadow_engine.is_closed


# --- decisions -----------------------------------------------------------------------------------------------------------


def entry(name: str, task: str = "transcribe") -> ModelEntry:
    return ModelEntry(name, task, "scripted", "engine", "MIT", "")


def test_a_shadow_stays_beside_activations_until_it_is_taken_out_or_activated_itself() -> None:
    now = shadowed(ModelActivated("transcribe"), entry("a"), 1.0, 0.2)
    assert (now.model, now.shadow, now.shadow_share) == ("", "a", 0.2)
    other = rolled_back(activated(now, entry("b"), 2.0), 3.0)
    assert (other.model, other.shadow) == ("", "a")
    assert shadowed(other, entry("a"), 4.0, 0.0) == ModelActivated("transcribe", activated_at=4.0)
    mine = activated(now, entry("a"), 5.0)
    assert (mine.model, mine.shadow, mine.shadow_share) == ("a", "", 0.0)


@pytest.mark.parametrize(
    ("wanted", "share", "what"),
    [
        (entry("a"), 1.5, "0 to 1"),
        (entry("a"), 0.0, "'a' is not in the shadow of 'transcribe'"),
        (entry("a", "denoise"), 1.0, "'a' is a model for denoise: models for diarize, transcribe, classify can be in the shadow"),
    ],
)
def test_what_cannot_be_is_refused(wanted: Any, share: float, what: str) -> None:
    with pytest.raises(Refused, match=what):
        shadowed(ModelActivated(wanted.task), wanted, 1.0, share)
