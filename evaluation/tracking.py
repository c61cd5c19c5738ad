"""Results into MLflow, where teams keep their experiments: a run a system, with figures, settings and files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from evaluation.items import DataUnusable
from evaluation.report import Report

EXPERIMENT = "voxrelay"


def library() -> Any:
    """Raises ``DataUnusable`` where it is not installed."""
    try:
        return import_module("mlflow")
    except ModuleNotFoundError:
        raise DataUnusable("Logging results needs the library mlflow: pip install 'voxrelay[mlflow]'.") from None


def log_report(report: Report, address: str, files: Sequence[Path], mlflow: Any) -> list[str]:
    """The ids of the runs. ``address`` is a tracking server's, or ``sqlite:///runs.db``, as MLflow takes it."""
    mlflow.set_tracking_uri(address)
    mlflow.set_experiment(EXPERIMENT)
    runs = []
    for result in report.results:
        with mlflow.start_run(run_name=f"{report.task.name} {result.name}") as run:
            mlflow.set_tags({"task": report.task.name, "system": result.name})
            engines = {f"engine {stage}": f"{engine.name} {engine.version}" for stage, engine in result.engines.items()}
            mlflow.log_params({_key(name): value for name, value in {**report.session, **engines, "data": report.data}.items()})
            figures = {report.task.measure: result.rate, **result.summary}
            if result.timing is not None:
                figures |= {"RTF": result.timing.rtf, "RTF engine": result.timing.engine_rtf, "latency p95 s": result.timing.percentile_s(95)}
            mlflow.log_metrics({_key(name): float(value) for name, value in figures.items() if value is not None})
            for file in files:
                mlflow.log_artifact(str(file))
            runs.append(str(run.info.run_id))
    return runs


def _key(name: str) -> str:
    """What MLflow takes as a name: letters, digits, spaces, and - _ . /"""
    return " ".join(re.sub(r"[^\w ./-]+", " ", name).split())
