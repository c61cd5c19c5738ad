"""``voxrelay evaluate``: how good engines are on recordings with references."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from voxrelay.cli.console import Failure

TASKS = "transcribe, denoise, diarize, vad, speaker, classify"


def evaluate(
    task: str = typer.Option(..., help=f"What is scored: {TASKS}."),
    engine: list[str] = typer.Option(..., help="An engine, a model of 'models list', or several joined by +; repeat it to compare."),
    data: Path = typer.Option(..., help="A manifest (.jsonl) or a folder of recordings with references."),
    out: Path = typer.Option(None, help="Folder for results.json, report.md and the plots; evaluation/out/TASK without it."),
    session: list[str] = typer.Option([], help="NAME=VALUE that every session asks for, such as noise_suppression=1; repeat it."),
    silence_minutes: float = typer.Option(0.0, min=0.0, max=600.0, help="For transcribe: silence and noise made here, so long each."),
    group: list[str] = typer.Option([], help="Only recordings of this group; repeat it."),
    most: int = typer.Option(0, min=0, help="Of each group the first so many recordings alone; 0 for all."),
    no_baseline: bool = typer.Option(False, "--no-baseline", help="Leave the unprocessed audio out."),
    mlflow: str = typer.Option("", help="Address of an MLflow server or store to log the results to."),
) -> None:
    """Run engines over recordings with references, through the live stages, and score them: words, noise, speakers, speech, labels.

    Every engine stands beside the unprocessed audio; two or more are compared by a paired test.
    """
    if task not in TASKS.split(", "):
        raise Failure(f"--task is one of {TASKS}.", 2)
    if find_spec("evaluation") is None:
        raise Failure("The evaluation is not in this installation (images leave it out): run it from a checkout.")
    arguments = ["--task", task, "--data", str(data), "--silence-minutes", str(silence_minutes), "--most", str(most)]
    for name, values in (("--engine", engine), ("--session", session), ("--group", group)):
        arguments += [part for value in values for part in (name, value)]
    arguments += ["--out", str(out)] if out is not None else []
    arguments += ["--no-baseline"] if no_baseline else []
    arguments += ["--mlflow", mlflow] if mlflow else []
    os.execv(sys.executable, [sys.executable, "-m", "evaluation", *arguments])  # noqa: S606  # this very interpreter
