"""Models change between two utterances, where a session is saved; a replay has the models that the first run had."""

from __future__ import annotations

from collections.abc import Sequence

from services.transcribe.engine import Transcriber
from services.transcribe.stage import TranscribeStage
from tests.unit.transcribe.scripted import ScriptedTranscriber
from tests.unit.transcribe.test_stage import conversation, finals, payloads
from voxrelay.events import Engine, Event, ModelActivated, Payload, SegmentTranscribed, SessionConfig
from voxrelay.models.slot import EngineSlot


class Named(ScriptedTranscriber):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.engine = Engine(name, "1", name)
        self.is_closed = False

    def advance(self, work):  # type: ignore[no-untyped-def]
        assert not self.is_closed
        return super().advance(work)

    def close(self) -> None:
        assert not self.streams, "closed with an utterance in hand"
        self.is_closed = True


def slot_of(models: dict[str, Named]) -> EngineSlot[Transcriber]:
    def load(model: str) -> Transcriber:
        models[model] = Named(model)
        return models[model]

    return EngineSlot("transcribe", Named("configured"), load)


def names(results: Sequence[Payload]) -> list[str]:
    return [final.engine.name for final in finals(results)]


CONVERSATION = conversation(SessionConfig(interim_results=False))
MID_FIRST, BETWEEN = 20, 30  # places in it


def run(stage: TranscribeStage, parts: Sequence[Payload], session_id: str = "s") -> list[Payload]:
    return payloads((result for part in parts for result in stage.process([Event(session_id, part)])), session_id)


def test_an_utterance_in_hand_keeps_its_model_and_the_next_has_the_new_one() -> None:
    models: dict[str, Named] = {}
    slot = slot_of(models)
    stage = TranscribeStage(slot)
    results = run(stage, CONVERSATION[:MID_FIRST])
    slot.exchange(ModelActivated("transcribe", "better"))
    assert stage.snapshot("s") is None  # in mid-utterance
    results += run(stage, CONVERSATION[MID_FIRST:BETWEEN])
    assert names(results) == ["configured"]
    assert stage.snapshot("s") is not None
    results += run(stage, CONVERSATION[BETWEEN:])
    assert names(results) == ["configured", "better"]
    assert finals(results)[-1].engine.version == "1+better"
    slot.exchange(ModelActivated("transcribe"))
    assert models["better"].is_closed


def test_a_replay_has_the_models_of_the_first_run() -> None:
    """Whatever has been activated meanwhile: the snapshot names the model of all that follows it."""
    slot = slot_of({})
    first = TranscribeStage(slot)
    run(first, CONVERSATION[:BETWEEN])
    state = first.snapshot("s")
    assert state is not None
    slot.exchange(ModelActivated("transcribe", "better"))
    once = run(first, CONVERSATION[BETWEEN:])
    again = TranscribeStage(slot)
    again.restore("s", state)
    assert run(again, CONVERSATION[BETWEEN:]) == once
    assert names(once) == ["configured"]
    elsewhere = slot_of({})  # a process that started after the activation
    elsewhere.exchange(ModelActivated("transcribe", "better"))
    other = TranscribeStage(elsewhere)
    other.restore("s", state)
    assert run(other, CONVERSATION[BETWEEN:]) == once


def test_sessions_of_two_models_in_one_batch_each_have_their_own() -> None:
    models: dict[str, Named] = {}
    slot = slot_of(models)
    slot.exchange(ModelActivated("transcribe", "a", "b", 0.5))
    sessions = [f"session-{number}" for number in range(12)]
    stage = TranscribeStage(slot)
    batch = [Event(session, part) for part in CONVERSATION for session in sessions]
    results = list(stage.process(batch))
    alone = finals(run(TranscribeStage(EngineSlot("transcribe", Named("x"))), CONVERSATION))
    used: dict[str, set[str]] = {}
    for session in sessions:
        mine = [result.payload for result in results if result.session_id == session]
        assert [final.text for final in finals(mine)] == [final.text for final in alone]
        used[session] = set(names(mine))
    assert {frozenset(one) for one in used.values()} == {frozenset("a"), frozenset("b")}
    assert len(models["a"].calls) == len(models["b"].calls) == 1
    assert isinstance(results[0].payload, SegmentTranscribed)
    slot.exchange(ModelActivated("transcribe"))
    assert models["a"].is_closed
    assert models["b"].is_closed
