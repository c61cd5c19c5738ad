"""From the registry to an engine at work, for every task: what does not fit or is not there leaves the model in use, with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.classify.compose import acoustic_model, text_model
from services.denoise.compose import detector_model, suppressor_model
from services.diarize.compose import model as embedder_model
from services.synth.compose import model as synthesizer_model
from services.synth.settings import SynthSettings
from services.transcribe.compose import model as transcriber_model
from services.transcribe.settings import TranscribeSettings
from tests.unit.models.scripted_tasks import TASKS, Task
from voxrelay.engines import EngineUnusable
from voxrelay.events import ModelActivated
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import EngineSlot
from voxrelay.settings import PlatformSettings

LOADS: dict[str, Callable[..., Any]] = {
    "denoise": suppressor_model,
    "voice-activity": detector_model,
    "diarize": embedder_model,
    "transcribe": lambda platform, name: transcriber_model(platform, TranscribeSettings(), name),
    "classify": acoustic_model,
    "classify-text": text_model,
    "synth": lambda platform, name: synthesizer_model(platform, SynthSettings(), name),
}
TAKES_WEIGHTS = {"denoise": "gtcrn", "voice-activity": "silero", "diarize": "ge2e"}
COMES_WITH_ALL = {"denoise": "omlsa", "classify": "dsp", "classify-text": "lexical"}  # at once; the others start processes or need weights


@pytest.fixture(params=TASKS, ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param  # type: ignore[no-any-return]


def slot_of(task: Task, models: Path) -> EngineSlot[Any]:
    return EngineSlot(task.name, task.engine(""), partial(LOADS[task.name], PlatformSettings(models=models)))


def refusal(task: Task, models: Path, name: str) -> str:
    """What is said, once it is sure that nothing has changed."""
    slot = slot_of(task, models)
    held = slot.take("s")
    with pytest.raises(EngineUnusable) as said:
        slot.exchange(ModelActivated(task.name, name))
    assert slot.decision == ModelActivated(task.name)
    assert slot.renew("s", held) is held
    assert slot.models() == {""}
    assert not held.engine.is_closed
    sentence = str(said.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def add(models: Path, name: str, task: str, engine: str, **more: Any) -> None:
    ModelRegistry(models).add(ModelEntry(name, task, engine, more.pop("source", "engine"), "MIT", "", **more))


def test_an_engine_that_is_not_there(task: Task, tmp_path: Path) -> None:
    add(tmp_path, "new", task.name, "magic")
    assert " engine 'magic': choose one of " in refusal(task, tmp_path, "new")


def test_a_model_for_another_task(task: Task, tmp_path: Path) -> None:
    other = "diarize" if task.name != "diarize" else "synth"
    add(tmp_path, "new", other, "magic")
    assert refusal(task, tmp_path, "new") == f"'new' is a model for {other}, not for {task.name}."


def test_options_the_engine_does_not_have(task: Task, tmp_path: Path) -> None:
    engine = {"transcribe": "pocketsphinx", "synth": "espeak"}.get(task.name) or COMES_WITH_ALL.get(task.name) or TAKES_WEIGHTS[task.name]
    add(tmp_path, "new", task.name, engine, options={"depth": 3})
    said = refusal(task, tmp_path, "new")
    assert said == f"The engine '{engine}' cannot be made of what 'new' gives it (depth): correct its options and files."


@pytest.mark.parametrize("task", [task for task in TASKS if task.name in TAKES_WEIGHTS], ids=lambda task: task.name)
def test_weights_of_something_else(task: Task, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.onnx").write_bytes(b"no network at all")
    add(tmp_path / "models", "new", task.name, TAKES_WEIGHTS[task.name], source=f"folder:{tmp_path / 'mine'}")
    refusal(task, tmp_path / "models", "new")


@pytest.mark.parametrize("task", [task for task in TASKS if task.name in COMES_WITH_ALL], ids=lambda task: task.name)
def test_a_model_that_fits_is_warm_and_in_use(task: Task, tmp_path: Path) -> None:
    add(tmp_path, "new", task.name, COMES_WITH_ALL[task.name])
    slot = slot_of(task, tmp_path)
    slot.exchange(ModelActivated(task.name, "new"))
    assert slot.identity.version.endswith("+new")
    slot.close()
