"""What goes to MLflow: its own functions are called as it documents them, with names it takes."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evaluation.report import Report
from evaluation.tasks import task_named
from evaluation.tracking import log_report
from tests.unit.evaluation.test_scores import results


class Recording:
    """The part of MLflow that is used; keeps what it is told, and refuses the names that MLflow refuses."""

    def __init__(self) -> None:
        self.address, self.experiment = "", ""
        self.runs: list[dict[str, Any]] = []

    def set_tracking_uri(self, address: str) -> None:
        self.address = address

    def set_experiment(self, name: str) -> None:
        self.experiment = name

    @contextmanager
    def start_run(self, run_name: str) -> Any:
        self.runs.append({"name": run_name, "artifacts": []})
        yield SimpleNamespace(info=SimpleNamespace(run_id=f"run {len(self.runs)}"))

    def set_tags(self, tags: dict[str, Any]) -> None:
        self.runs[-1]["tags"] = tags

    def log_params(self, params: dict[str, Any]) -> None:
        assert all(re.fullmatch(r"[\w ./-]+", name) for name in params)
        self.runs[-1]["params"] = params

    def log_metrics(self, metrics: dict[str, float]) -> None:
        assert all(re.fullmatch(r"[\w ./-]+", name) and isinstance(value, float) for name, value in metrics.items())
        self.runs[-1]["metrics"] = metrics

    def log_artifact(self, path: str) -> None:
        self.runs[-1]["artifacts"].append(path)


def test_every_system_is_a_run_with_its_figures_and_files(tmp_path: Path) -> None:
    task = task_named("transcribe")
    made = results()
    made[0].summary["false words per silent hour (all)"] = 3.0
    files = [tmp_path / "results.json"]
    files[0].write_text("{}")
    mlflow = Recording()
    runs = log_report(Report(task, made, "clips", {"noise_suppression": 1.0}), "sqlite:///runs.db", files, mlflow)
    assert (mlflow.address, mlflow.experiment, runs) == ("sqlite:///runs.db", "voxrelay", ["run 1", "run 2"])
    first, second = mlflow.runs
    assert first["metrics"] == {
        "WER": 0.25,
        "false words per silent hour all": 3.0,
        "RTF": 0.25,
        "RTF engine": 0.125,
        "latency p95 s": 0.2,
    }
    assert first["params"] == {"noise_suppression": 1.0, "engine transcribe": "good 1", "data": "clips"}
    assert (second["tags"]["system"], second["metrics"]["WER"]) == ("bad", 1.0)
    assert first["artifacts"] == [str(files[0])]
