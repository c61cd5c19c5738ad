"""The engines in use, asked in a process of its own: a library that hangs or crashes while it is loaded takes only that one along."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from voxrelay.doctor.report import Finding, finding

WRONG_SETTINGS_STATUS = 2  # of ``load_settings``, which says a line for each


@dataclass(frozen=True, slots=True)
class EnginesInUse:
    """``models`` are the registry's names of what they take; none where they could not be asked."""

    models: tuple[str, ...]
    findings: tuple[Finding, ...]


def engines(timeout_s: float) -> EnginesInUse:
    """What ``python -m services.engines`` says of the engines that the settings name."""
    try:
        done = subprocess.run([sys.executable, "-m", "services.engines"], capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return EnginesInUse((), (finding("ENGINES_SLOW", seconds=round(timeout_s)),))
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        if done.returncode == WRONG_SETTINGS_STATUS:
            return EnginesInUse((), (finding("ENGINES_SETTINGS", reason=said[0]),))
        return EnginesInUse((), (finding("ENGINES_UNSEEN", reason=said[-1].rstrip(".")),))
    rows = json.loads(done.stdout)
    models = tuple(row["model"] for row in rows if row["model"])
    problems = [finding("ENGINE_UNUSABLE", reason=row["problem"]) for row in rows if row["problem"]]
    names = ", ".join(f"{row['capability']} {row['engine']}" for row in rows)
    return EnginesInUse(models, tuple(problems or [finding("ENGINES_READY", names=names)]))
