"""What a process costs is counted once, with that of its workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.processes import used

WORKER = "import time\nwhile time.process_time() < 1.0: pass\nprint('done', flush=True)\ninput()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {WORKER!r}])"


@pytest.fixture
def before() -> dict[str, float]:
    return used({"client": os.getpid()})


@pytest.fixture
def service(before: dict[str, float]) -> Iterator[int]:
    """A process whose worker has used a second of a core."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield process.pid
        process.communicate("\n")


def test_a_workers_time_is_that_of_who_has_it(before: dict[str, float], service: int) -> None:
    assert used({"client": os.getpid()})["client"] - before["client"] >= 0.9


def test_what_has_a_name_of_its_own_is_not_counted_twice(before: dict[str, float], service: int) -> None:
    now = used({"client": os.getpid(), "service": service})
    assert now["service"] >= 0.9
    assert now["client"] - before["client"] < 0.5
