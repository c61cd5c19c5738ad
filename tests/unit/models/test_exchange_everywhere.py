"""Every task's models are exchanged while its stage runs on the in-memory bus: the same promises for all of them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.unit.models.scripted_tasks import TASKS, Named, Task
from voxrelay import codec
from voxrelay.bus.api import TopicPartition
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import Event, ModelActivated, Payload
from voxrelay.models.activations import ActivationLog, rolled_back
from voxrelay.models.catalogue import SERVED_TASKS
from voxrelay.models.follower import ActivationFollower
from voxrelay.models.slot import EngineSlot, part_of
from voxrelay.runner import StageRunner
from voxrelay.topology import checkpoint_topic, topic_specs

WITHIN_S = 60.0


class Running:
    """One task's stage over a bus of its own, with whoever decides and whoever speaks."""

    def __init__(self, task: Task) -> None:
        self.task, self.made = task, dict[str, Named]()
        self.bus = MemoryBus()
        self.bus.create_topics(topic_specs(1))
        self.log = ActivationLog(self.bus)
        self.slot: EngineSlot[Any] = EngineSlot(task.name, task.engine(""), self._load)
        self._follower = ActivationFollower(self.bus, [self.slot], "one")
        self._follower.start()
        runner = StageRunner(self.bus, task.node, "live", task.make(self.slot), checkpoint_every=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=runner.run, args=[self._stop], daemon=True)
        self._thread.start()
        self._producer, self._sequences = self.bus.producer(), defaultdict[str, int](int)
        topics = [topic.name("live") for topic in task.node.writes]
        self._reader = self.bus.read({TopicPartition(topic, 0): "earliest" for topic in topics})
        self.results: dict[str, list[Payload]] = defaultdict(list)

    def _load(self, model: str) -> Named:
        if model == "broken":
            raise RuntimeError("weights of another net")
        self.made[model] = self.task.engine(model)
        return self.made[model]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(WITHIN_S)
        self._follower.stop()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline
            assert self._thread.is_alive()
            for record in self._reader.poll(500, 0.02):
                event = codec.decode(record.key, record.value, record.headers)
                self.results[event.session_id].append(event.payload)

    def decide(self, decision: ModelActivated) -> None:
        self.log.decide(decision)
        self.until(lambda: self.slot.decision == decision)

    def say(self, session_id: str, payloads: Sequence[Payload]) -> None:
        topic = self.task.node.reads
        for payload in payloads:
            self._sequences[session_id] += 1
            number = self._sequences[session_id]
            event = Event(session_id, payload, "test", number, f"{session_id}/{number}", 1.0)
            self._producer.send(topic.name("live"), *codec.encode(event, topic.encoding))
        self._producer.flush()

    def saved(self) -> int:
        """How many checkpoints were written."""
        source = TopicPartition(checkpoint_topic(self.task.node, "live"), 0)
        return self.bus.offsets([source])[source][1]

    def models(self, session_id: str) -> list[str]:
        return self.task.tell(self.results[session_id])

    def whole(self, session_id: str) -> list[str]:
        """The models of a session that opens and ends now."""
        first, second = self.task.halves()
        self.say(session_id, [*first, *second])
        self.until(lambda: self.is_done(session_id))
        return self.models(session_id)

    def is_done(self, session_id: str) -> bool:
        return any(result.ends_session or getattr(result, "is_last", False) for result in self.results[session_id])


@pytest.fixture(params=TASKS, ids=lambda task: task.name)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param)
    yield running
    running.stop()


def test_all_tasks_that_services_have_are_here() -> None:
    assert tuple(task.name for task in TASKS) == SERVED_TASKS


def test_sessions_open_with_the_new_model_and_an_open_one_changes_where_nothing_of_it_is_the_models_own(running: Running) -> None:
    task, (first, second) = running.task, running.task.halves()
    running.say("early", first)
    running.until(lambda: running.models("early") == [""])
    running.decide(ModelActivated(task.name, "better"))
    assert running.whole("late") == ["better"]
    if second:
        saved = running.saved()
        running.say("early", second[:1])
        running.until(lambda: running.saved() > saved)
        running.say("early", second[1:])
        running.until(lambda: running.is_done("early"))
    assert running.models("early") == ([""] if task.keeps_its_model else ["", "better"])
    running.decide(rolled_back(ModelActivated(task.name, "better", earlier=("",)), 2.0))
    assert running.whole("last") == [""]
    running.until(lambda: running.made["better"].is_closed)  # nobody holds it any more


def test_a_share_of_the_sessions_goes_to_a_candidate_and_a_model_that_fails_changes_nothing(running: Running) -> None:
    task = running.task
    running.decide(ModelActivated(task.name, "better", "candidate", 0.5))
    sessions = [f"session-{number}" for number in range(8)]
    chosen = {session: running.whole(session) for session in sessions}
    assert chosen == {session: ["candidate" if part_of(session) < 0.5 else "better"] for session in sessions}
    assert len({tuple(models) for models in chosen.values()}) == 2
    running.log.decide(ModelActivated(task.name, "broken"))
    running.until(lambda: any(state.reason for state in running.log.states()))
    (state,) = running.log.states()
    assert state.reason == "The model 'broken' could not be loaded (RuntimeError): check that its files fit its engine."
    assert (state.model, state.candidate) == ("better", "candidate")
    assert running.whole(sessions[0] + "-again") in (["better"], ["candidate"])


@pytest.mark.parametrize("task", [task for task in TASKS if task.name != "synth"], ids=lambda task: task.name)
def test_a_replay_has_the_models_of_the_first_run(task: Task) -> None:
    """In this process and in one that started after the activation: the snapshot names them."""
    first_half, second_half = task.halves()

    def slot() -> EngineSlot[Any]:
        return EngineSlot(task.name, task.engine(""), task.engine)

    def run(stage: Any, parts: Sequence[Payload]) -> list[Payload]:
        return [result.payload for part in parts for result in stage.process([Event("s", part)])]

    here, elsewhere = slot(), slot()
    first, again, other = task.make(here), task.make(here), task.make(elsewhere)
    run(first, first_half)
    state = first.snapshot("s")
    assert state is not None
    for each in (here, elsewhere):
        each.exchange(ModelActivated(task.name, "better"))
    once = run(first, second_half)
    assert task.tell(once) == [""]
    for stage in (again, other):
        stage.restore("s", state)
        assert run(stage, second_half) == once
