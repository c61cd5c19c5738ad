"""Worker processes: results, faults, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxrelay.errors import Unavailable
from voxrelay.workers import WorkerFailed, Workers

SERVING = "tests.unit.workers.serving:Serving"
ROOT = Path(__file__).resolve().parents[3]
PARENT = """
import sys
from voxrelay.workers import Workers
if __name__ == "__main__":
    workers = Workers("tests.unit.workers.serving:Serving", 2)
    print(*workers.process_ids, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(SERVING, 2)
    yield pool
    pool.close()


def is_alive(process_id: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet (a zombie) does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(is_true: object, patience_s: float = 30.0) -> bool:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if is_true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_each_worker_keeps_its_own_state(workers: Workers) -> None:
    assert [workers.call(0, "count"), workers.call(0, "count"), workers.call(1, "count")] == [1, 2, 1]


def test_calls_run_side_by_side_and_answer_in_the_order_of_the_calls(workers: Workers, tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert workers.call_all([(1, "meet", (one, two)), (0, "meet", (two, one))]) == [True, True]
    assert workers.call_all([(1, "process_id", ()), (0, "process_id", ())]) == workers.process_ids[::-1]


def test_two_calls_for_one_worker_are_refused(workers: Workers) -> None:
    with pytest.raises(ValueError):
        workers.call_all([(0, "count", ()), (0, "count", ())])


def test_a_failing_call_names_its_reason_and_the_worker_lives_on(workers: Workers) -> None:
    workers.call(0, "count")
    with pytest.raises(WorkerFailed, match="told to"):
        workers.call(0, "fail")
    assert workers.call(0, "count") == 2


def test_a_result_that_cannot_travel_is_a_failure_and_not_a_death(workers: Workers) -> None:
    with pytest.raises(WorkerFailed, match="pickle"):
        workers.call(0, "unpicklable")
    assert workers.call(0, "count") == 1


def test_a_failure_in_one_worker_leaves_no_answer_behind_in_another(workers: Workers) -> None:
    with pytest.raises(WorkerFailed):
        workers.call_all([(0, "fail", ()), (1, "count", ())])
    assert workers.call(1, "process_id") == workers.process_ids[1]


def test_a_killed_worker_is_replaced_without_its_state(workers: Workers) -> None:
    workers.call(0, "count")
    old = workers.process_ids[0]
    assert old is not None
    os.kill(old, signal.SIGKILL)
    with pytest.raises(Unavailable):
        workers.call(0, "count")
    assert workers.call(0, "count") == 1
    assert workers.process_ids[0] not in (None, old)


def test_a_worker_that_dies_in_a_call_takes_nobody_with_it(workers: Workers) -> None:
    with pytest.raises(Unavailable):
        workers.call_all([(0, "die", ()), (1, "count", ())])
    assert [workers.call(0, "count"), workers.call(1, "count")] == [1, 2]


def test_a_stuck_worker_is_killed_and_replaced() -> None:
    workers = Workers(SERVING, 1, timeout_s=0.2)
    try:
        stuck = workers.process_ids[0]
        assert stuck is not None
        with pytest.raises(Unavailable, match="too long"):
            workers.call(0, "sleep", 600.0)
        assert not is_alive(stuck)
        assert workers.call(0, "count") == 1
    finally:
        workers.close()


def test_a_worker_that_cannot_be_replaced_is_unavailable_until_it_can(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    workers = Workers(SERVING, 1, trap=str(trap))
    try:
        trap.touch()
        for _ in range(3):
            with pytest.raises(Unavailable):
                workers.call(0, "die")
        trap.unlink()
        assert workers.call(0, "count") == 1
    finally:
        workers.close()


def test_an_object_that_cannot_be_built_is_said_at_once() -> None:
    with pytest.raises(WorkerFailed, match="no model here"):
        Workers("tests.unit.workers.serving:Broken", 2)


def test_close_cuts_off_the_call_in_flight_and_leaves_no_process() -> None:
    workers = Workers(SERVING, 2)
    process_ids = [process_id for process_id in workers.process_ids if process_id is not None]
    raised: list[Exception] = []

    def call() -> None:
        try:
            workers.call(0, "sleep", 600.0)
        except Unavailable as error:
            raised.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert eventually(lambda: workers._workers[0].lock.locked())  # the call is under way
    workers.close()
    caller.join(30.0)
    assert len(raised) == 1
    assert not any(is_alive(process_id) for process_id in process_ids)
    with pytest.raises(Unavailable):
        workers.call(1, "count")


def test_no_worker_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True
    ) as parent:
        assert parent.stdout is not None
        process_ids = [int(word) for word in parent.stdout.readline().split()]
        assert len(process_ids) == 2
        assert all(is_alive(process_id) for process_id in process_ids)
        parent.kill()
    assert eventually(lambda: not any(is_alive(process_id) for process_id in process_ids))
