"""The engines in use, asked in a process of its own: a library that hangs or crashes while it is loaded takes only that one along."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from voxrelay.doctor.report import Finding, finding


@dataclass(frozen=True, slots=True)
class EnginesInUse:
    """``names`` is empty where they could not be asked."""

    names: tuple[str, ...]
    findings: tuple[Finding, ...]


def engines(timeout_s: float) -> EnginesInUse:
    """What ``python -m services.engines`` says of the engines that the settings name."""
    try:
        done = subprocess.run([sys.executable, "-m", "services.engines"], capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return EnginesInUse((), (finding("ENGINES_SLOW", seconds=round(timeout_s)),))
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1].rstrip(".")
        return EnginesInUse((), (finding("ENGINES_UNSEEN", reason=reason),))
    rows = json.loads(done.stdout)
    names = tuple(row["engine"] for row in rows)
    problems = [finding("ENGINE_UNUSABLE", reason=row["problem"]) for row in rows if row["problem"]]
    return EnginesInUse(names, tuple(problems or [finding("ENGINES_READY", names=", ".join(f"{row['capability']} {row['engine']}" for row in rows))]))
