"""The tasks by name; only the chosen one's libraries are imported."""

from __future__ import annotations

from importlib import import_module

from evaluation.items import DataUnusable
from evaluation.task import Task

TASKS = {
    "transcribe": "evaluation.tasks.transcribe:Transcription",
    "denoise": "evaluation.tasks.denoise:Denoising",
    "diarize": "evaluation.tasks.diarize:Diarization",
    "vad": "evaluation.tasks.vad:SpeechDetection",
    "speaker": "evaluation.tasks.speaker:SpeakerVerification",
    "classify": "evaluation.tasks.classify:Classification",
}


def task_named(name: str) -> Task:
    """Raises ``DataUnusable`` for a library that is not installed."""
    module, _, made = TASKS[name].partition(":")
    try:
        task: Task = getattr(import_module(module), made)()
    except ModuleNotFoundError as error:
        raise DataUnusable(f"Evaluating '{name}' needs the library {error.name}: pip install 'voxrelay[evaluate]'.") from error
    return task
