"""What the script's commands do, for one root and a selection of services."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Protocol

from local_services import processes
from local_services.kafka import BROKERS, Kafka, lay_out_cluster
from local_services.object_store import ObjectStore
from local_services.obtaining import Report, install_packages
from local_services.postgres import Postgres
from local_services.processes import ServiceError, log_tail
from local_services.state import State


class Service(Protocol):
    """One kind of service, bound to a root and its record there."""

    @property
    def name(self) -> str: ...
    @property
    def stop_signal(self) -> Signals: ...
    @property
    def start_limit_s(self) -> float: ...
    @property
    def has_fixed_ports(self) -> bool: ...
    def obtain(self, report: Report) -> None: ...
    def prepare(self, report: Report) -> None: ...
    def launch(self) -> subprocess.Popen[bytes]: ...
    def answers(self) -> bool: ...
    def environment(self) -> dict[str, str]: ...
    def data_folders(self) -> list[Path]: ...


SERVICES = ("kafka", "kafka-2", "kafka-3", "postgres", "s3")
Print = Callable[[str], None]


def service_of(name: str, state: State) -> Service:
    """The service of this name in this root."""
    if name in BROKERS:
        state.record(name)
        return Kafka(state.root, name, {broker: state.records[broker] for broker in BROKERS if broker in state.records}, state.log_path(name))
    return {"postgres": Postgres, "s3": ObjectStore}[name](state.root, state.record(name), state.log_path(name))


def all_names(state: State) -> list[str]:
    """The services of this root: one broker, unless it was laid out with more."""
    return [name for name in SERVICES if name not in BROKERS[1:] or name in state.records]


def lay_out(state: State, brokers: int) -> None:
    """Decides how many brokers this root has, before its first start. Raises ServiceError for one that was made otherwise."""
    made = [name for name in BROKERS if name in state.records]
    if made and len(made) != brokers:
        raise ServiceError(f"{state.root} was made with {len(made)} broker(s); drop it first: scripts/services stop --wipe --root {state.root}")
    if brokers > 1:
        lay_out_cluster({name: state.record(name) for name in BROKERS[:brokers]})
        state.save()


def start(state: State, names: Sequence[str], tell: Print) -> None:
    """Starts what does not run, all at the same time, and returns when all answer. Raises ServiceError.

    One that fails does not end the others: what was started stays, and a second call tries only the rest.
    """
    (state.root / "logs").mkdir(exist_ok=True)
    services = [service_of(name, state) for name in names]
    state.save()
    _at_the_same_time([_labelled(service.name, tell, partial(_start_one, state, service)) for service in services])


def fetch(state: State, names: Sequence[str], tell: Print) -> None:
    """Fetches and builds everything, starts nothing. kcat comes along for looking into topics, where that is possible."""
    steps = [_labelled(name, tell, service_of(name, state).obtain) for name in names]
    if "kafka" in names:
        steps.append(_labelled("kcat", tell, _obtain_kcat))
    _at_the_same_time(steps)


def stop(state: State, names: Sequence[str], wipe: bool, tell: Print) -> None:
    """Ends what runs, and removes its data where asked to."""
    steps = []
    for name in names:
        if name in state.records:
            service = service_of(name, state)
            steps.append(_labelled(name, tell, partial(_stop_one, state, service, wipe)))
    _at_the_same_time(steps)
    if wipe:
        for name in names:
            state.records.pop(name, None)
        state.remove_if_unused()


def restart(state: State, name: str, tell: Print) -> None:
    """Stops one service in order and starts it again, same port, same data."""
    stop(state, [name], False, tell)
    start(state, [name], tell)


def kill(state: State, name: str, tell: Print) -> None:
    """Ends one service with SIGKILL, as a crash would. `start` brings it back. Raises ServiceError if it does not run."""
    record = state.record(name)
    if record.pid is None or record.start_time_ticks is None or not record.is_running():
        raise ServiceError(f"{name} is not running, so there is nothing to kill.")
    processes.kill(record.pid, record.start_time_ticks)
    tell(f"{name}: killed process {record.pid}")


def status(state: State, names: Sequence[str]) -> dict[str, dict[str, object]]:
    """What runs, under which pid and port, and whether it answers now."""
    found: dict[str, dict[str, object]] = {}
    for name in names:
        record = state.records.get(name)
        running = record is not None and record.is_running()
        found[name] = {
            "running": running,
            "answers": running and service_of(name, state).answers(),
            "pid": record.pid if record is not None and running else None,
            "port": record.port if record is not None else None,
            "log": str(state.log_path(name)),
        }
    return found


def environment(state: State, names: Sequence[str]) -> dict[str, str]:
    """The variables with which a program reaches the services. Raises ServiceError while one does not run."""
    stopped = [name for name in names if name not in state.records or not state.records[name].is_running()]
    if stopped:
        raise ServiceError(f"Not running: {', '.join(stopped)}. Start with: scripts/services start")
    return {key: value for name in names for key, value in service_of(name, state).environment().items()}


def _start_one(state: State, service: Service, report: Report) -> None:
    record = state.record(service.name)
    if record.is_running():
        # It may have been launched by a call that was interrupted before it answered.
        _wait_until_answering(state, service, None)
        report(f"already running, process {record.pid}, port {record.port}")
        return
    service.obtain(report)
    started = time.monotonic()
    if record.port is None or not (service.has_fixed_ports or processes.port_is_free(record.port)):
        record.port = processes.free_port()
    service.prepare(report)
    # Secrets and folders are on disk before the process exists, and its pid before anything is waited for.
    state.save()
    process = service.launch()
    record.pid, record.start_time_ticks = process.pid, processes.start_time_ticks(process.pid)
    state.save()
    _wait_until_answering(state, service, process)
    report(f"answers on 127.0.0.1:{record.port} after {time.monotonic() - started:.1f} s, process {process.pid}")


def _wait_until_answering(state: State, service: Service, process: subprocess.Popen[bytes] | None) -> None:
    record, log_path = state.record(service.name), state.log_path(service.name)
    deadline = time.monotonic() + service.start_limit_s
    while True:
        if not record.is_running():
            status_code = "" if process is None else f" with {process.wait()}"
            raise ServiceError(
                f"{service.name} ended{status_code} while it started. The end of {log_path}:\n{log_tail(log_path)}\n{_advice(service)}"
            )
        if service.answers():
            return
        if time.monotonic() > deadline:
            if record.pid is not None and record.start_time_ticks is not None:
                processes.kill(record.pid, record.start_time_ticks)
            raise ServiceError(
                f"{service.name} did not answer within {service.start_limit_s:.0f} s and was ended. "
                f"The end of {log_path}:\n{log_tail(log_path)}\n{_advice(service)}"
            )
        time.sleep(processes.POLL_INTERVAL_S)


def _advice(service: Service) -> str:
    return (
        "Run start again (a port may have been taken meanwhile); if its data is broken, drop it with: "
        f"scripts/services stop --only {service.name} --wipe"
    )


def _stop_one(state: State, service: Service, wipe: bool, report: Report) -> None:
    record = state.record(service.name)
    if record.pid is not None and record.start_time_ticks is not None and record.is_running():
        started = time.monotonic()
        processes.end(record.pid, record.start_time_ticks, service.stop_signal)
        report(f"stopped process {record.pid} in {time.monotonic() - started:.1f} s")
    else:
        report("was not running")
    record.pid = record.start_time_ticks = None
    state.save()
    if wipe:
        for folder in service.data_folders():
            if folder.exists():
                shutil.rmtree(folder)
        report("data removed")


def _obtain_kcat(report: Report) -> None:
    """A convenience only: nothing here needs it, so not having it is told and is no failure."""
    if shutil.which("kcat"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        report("not installed; to look into topics, install it (Debian: sudo apt-get install kcat)")
        return
    try:
        install_packages(["kcat"], report)
    except ServiceError as error:
        report(f"could not be installed, which matters only for looking into topics by hand: {error}")


def _labelled(name: str, tell: Print, step: Callable[[Report], None]) -> Callable[[], None]:
    return lambda: step(lambda text: tell(f"{name}: {text}"))


def _at_the_same_time(steps: Sequence[Callable[[], None]]) -> None:
    """Runs all steps to their end, then raises what went wrong in any of them as one ServiceError."""
    problems: list[str] = []
    collecting = threading.Lock()

    def run(step: Callable[[], None]) -> None:
        try:
            step()
        except ServiceError as error:
            with collecting:
                problems.append(str(error))
        except OSError as error:
            with collecting:
                problems.append(f"{error}. Check the folder's permissions and the free disk space, then run it again.")

    with ThreadPoolExecutor(max_workers=max(1, len(steps))) as executor:
        for finished in [executor.submit(run, step) for step in steps]:
            finished.result()
    if problems:
        raise ServiceError("\n\n".join(problems))
