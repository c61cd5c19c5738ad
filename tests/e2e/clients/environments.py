"""Other people's clients, unmodified, each in a virtual environment of its own: some cannot share one.

``requirements/<name>.txt`` says what is in it. Environments lie in the user's cache under a name that changes with that file, are put
there in one step when complete, and are shared by all checkouts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from local_services.obtaining import cache_folder
from local_services.state import exclusively

HERE = Path(__file__).resolve().parent
BUILD_WITHIN_S = 280
FLOW_WITHIN_S = 120


def client_python(name: str) -> Path:
    """The interpreter of the environment ``name``, built where it is not there yet. Skips without a package index, or fails where all is required."""
    requirements = HERE / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:8]
    folder = cache_folder() / "clients" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(folder.parent / f"{name}.lock"):
        if (folder / "complete").exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
            subprocess.run(venv, check=True, capture_output=True, timeout=BUILD_WITHIN_S)
            pip = [sys.executable, "-m", "pip", "--python", str(python), "-q", "--disable-pip-version-check"]
            command = [*pip, "install", "--no-compile", "-r", str(requirements)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_WITHIN_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            reason = f"the environment of {name} could not be built from the package index: {str(getattr(error, 'stderr', '') or error)[-300:]}"
            if os.environ.get("VOXRELAY_REQUIRE_SERVICES") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        (folder / "complete").touch()
    return python


def run_flow(environment: str, flow: str, *arguments: str) -> Any:
    """What ``flows/<flow>.py`` printed last, as JSON, run by the environment's interpreter in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        finished = subprocess.run(
            [str(client_python(environment)), str(HERE / "flows" / f"{flow}.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=FLOW_WITHIN_S,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", ""), "HOME": folder},
            check=False,
        )
    assert finished.returncode == 0, f"{flow} in {environment}: {finished.stderr[-3000:]}"
    return json.loads(finished.stdout.splitlines()[-1])
