"""A model is exchanged beside the one in use, between the utterances of a session, and the old one ends when nobody holds it."""

from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest

from voxrelay.engines import EngineUnusable
from voxrelay.errors import Refused, Unavailable
from voxrelay.events import Engine, ModelActivated
from voxrelay.models.activations import MOST_EARLIER, activated, rolled_back
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.slot import EngineSlot, part_of


class Scripted:
    def __init__(self, name: str) -> None:
        self.engine = Engine(name, "1", "digest")
        self.is_closed = False

    def close(self) -> None:
        assert not self.is_closed, "closed twice"
        self.is_closed = True


class Shelf:
    """Makes engines by name, and remembers all it made."""

    def __init__(self) -> None:
        self.made: list[Scripted] = []
        self.failures: dict[str, Exception] = {}

    def load(self, model: str) -> Scripted:
        if model in self.failures:
            raise self.failures[model]
        self.made.append(Scripted(model))
        return self.made[-1]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def slot(shelf: Shelf) -> EngineSlot[Scripted]:
    return EngineSlot("transcribe", Scripted("configured"), shelf.load)


def use(model: str, candidate: str = "", share: float = 0.0) -> ModelActivated:
    return ModelActivated("transcribe", model, candidate, share)


def test_a_session_moves_when_it_is_renewed_and_not_before(slot: EngineSlot[Scripted], shelf: Shelf) -> None:
    held = slot.take("s")
    slot.exchange(use("better"))
    assert held.engine.engine.name == "configured"
    assert slot.take("t").engine is shelf.made[0]
    renewed = slot.renew("s", held)
    assert renewed.engine is shelf.made[0]
    assert slot.renew("s", renewed) is renewed
    assert renewed.identity == Engine("better", "1+better", "digest")
    assert held.identity == Engine("configured", "1", "digest")


def test_the_old_model_ends_with_its_last_session_and_the_configured_one_stays(slot: EngineSlot[Scripted], shelf: Shelf) -> None:
    slot.exchange(use("one"))
    first, second = slot.take("s"), slot.take("t")
    slot.exchange(use("two"))
    one, two = shelf.made
    slot.leave(first)
    assert not one.is_closed
    slot.leave(second)
    assert one.is_closed
    assert slot.models() == {"", "two"}
    slot.exchange(use(""))
    assert two.is_closed
    slot.close()
    assert len(shelf.made) == 2


def test_the_engines_that_are_ready_are_told_and_no_other(shelf: Shelf) -> None:
    slot = EngineSlot("tried", Scripted("configured"), shelf.load)

    def told() -> set[str]:
        lines = [line for line in generate_latest().decode().splitlines() if line.startswith("voxrelay_engine_info{") and 'stage="tried"' in line]
        return {re.findall(r'engine="(\w+)"', line)[0] for line in lines}

    assert told() == {"configured"}
    slot.exchange(use("one"))
    held = slot.take("s")
    slot.exchange(use("two"))
    assert told() == {"configured", "one", "two"}
    slot.leave(held)
    assert told() == {"configured", "two"}


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (EngineUnusable("The engine 'x' needs the library y."), "The engine 'x' needs the library y."),
        (Unavailable("A worker process died."), "A worker process died."),
        (RuntimeError("weights of\nanother net"), "The model 'broken' could not be loaded (RuntimeError): check that its files fit its engine."),
        (MemoryError(), "The model 'broken' could not be loaded (MemoryError): check that its files fit its engine."),
    ],
)
def test_a_model_that_cannot_be_loaded_changes_nothing(slot: EngineSlot[Scripted], shelf: Shelf, failure: Exception, sentence: str) -> None:
    slot.exchange(use("good"))
    held = slot.take("s")
    shelf.failures["broken"] = failure
    for wanted in (use("broken"), use("fine", "broken", 0.5), use("broken", "fine", 0.5)):
        with pytest.raises(EngineUnusable) as said:
            slot.exchange(wanted)
        assert str(said.value) == sentence
    assert slot.decision == use("good")
    assert slot.renew("s", held) is held
    assert slot.models() == {"", "good"}
    assert all(engine.is_closed for engine in shelf.made if engine.engine.name == "fine")


def test_a_saved_session_has_its_model_again(slot: EngineSlot[Scripted], shelf: Shelf) -> None:
    slot.exchange(use("newest"))
    assert slot.take_again("s", "").engine.engine.name == "configured"
    again = slot.take_again("s", "older")
    assert again.engine.engine.name == "older"
    slot.leave(slot.renew("s", again))
    assert [engine.is_closed for engine in shelf.made] == [False, True]
    shelf.failures["removed"] = EngineUnusable("It is gone.")
    assert slot.take_again("s", "removed").engine.engine.name == "newest"


def test_a_share_of_sessions_goes_to_a_candidate_and_each_stays_where_it_is(slot: EngineSlot[Scripted]) -> None:
    sessions = [f"session-{number}" for number in range(4000)]
    slot.exchange(use("a", "b", 0.25))
    first = {session: slot.take(session).model for session in sessions}
    assert 0.22 < sum(model == "b" for model in first.values()) / len(sessions) < 0.28
    assert {session: slot.take(session).model for session in sessions} == first
    slot.exchange(use("a", "b", 0.5))  # more of them: nobody goes back
    assert all(slot.take(session).model == "b" for session in sessions if first[session] == "b")
    assert 0.0 <= min(map(part_of, sessions)) < max(map(part_of, sessions)) < 1.0


def test_a_slot_without_a_loader_says_so() -> None:
    with pytest.raises(EngineUnusable, match="cannot be exchanged here"):
        EngineSlot("transcribe", Scripted("configured")).exchange(use("other"))


# --- decisions -----------------------------------------------------------------------------------------------------------


def entry(name: str, task: str = "transcribe") -> ModelEntry:
    return ModelEntry(name, task, "scripted", "engine", "MIT", "")


def test_activations_and_rollbacks_are_a_stack() -> None:
    now = ModelActivated("transcribe")
    for number, name in enumerate(("a", "b", "b", "c"), start=1):
        now = activated(now, entry(name), float(number))
    assert now == ModelActivated("transcribe", "c", earlier=("", "a", "b"), activated_at=4.0)
    back = [now := rolled_back(now, 5.0) for _ in range(3)]
    assert [one.model for one in back] == ["b", "a", ""]
    with pytest.raises(Refused, match="nothing to go back to"):
        rolled_back(now, 6.0)


def test_a_candidate_is_dropped_first() -> None:
    now = activated(activated(ModelActivated("transcribe"), entry("a"), 1.0), entry("b"), 2.0, share=0.1)
    assert (now.model, now.candidate, now.share) == ("a", "b", 0.1)
    assert rolled_back(now, 3.0) == ModelActivated("transcribe", "a", earlier=("",), activated_at=3.0)
    assert activated(now, entry("b"), 4.0) == ModelActivated("transcribe", "b", earlier=("", "a"), activated_at=4.0)


def test_what_cannot_be_activated_is_refused() -> None:
    with pytest.raises(Refused, match="'ge2e' is a model for diarize, not for transcribe"):
        activated(ModelActivated("transcribe"), entry("ge2e", "diarize"), 1.0)
    for share in (0.0, -1.0, 1.5):
        with pytest.raises(Refused, match="above 0 and at most 1"):
            activated(ModelActivated("transcribe"), entry("a"), 1.0, share)


def test_what_is_remembered_of_earlier_models_is_bounded() -> None:
    now = ModelActivated("transcribe")
    for number in range(100):
        now = activated(now, entry(f"m{number}"), 1.0)
    assert len(now.earlier) == MOST_EARLIER
    assert now.earlier[-1] == "m98"
