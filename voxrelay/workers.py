"""Worker processes for engines that hold the interpreter lock or keep state of the whole process.

Each worker builds its own object and serves calls one after another; the caller chooses the worker, so state that lives
in one (a decoder in mid-utterance) is found again.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from voxrelay.errors import Unavailable

START_TIMEOUT_S = 60.0


class WorkerFailed(Exception):
    """The call raised inside the worker; the message is its traceback. The worker lives on."""


def _serve(target: str, options: dict[str, Any], connection: Connection) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    module_name, _, class_name = target.partition(":")
    try:
        served = getattr(import_module(module_name), class_name)(**options)
    except Exception:
        connection.send((False, traceback.format_exc()))
        return
    connection.send((True, None))
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send((True, getattr(served, method)(*arguments)))
        except Exception:
            connection.send((False, traceback.format_exc()))


class Workers:
    """``count`` processes, each with its own ``module:Class`` instance. Thread-safe; calls to one worker queue up."""

    def __init__(self, target: str, count: int, timeout_s: float = 120.0, **options: Any) -> None:
        """Starts all workers. Raises ``WorkerFailed`` when the object cannot be built, ``Unavailable`` when a process does not start."""
        self._target, self._options, self._timeout_s = target, options, timeout_s
        self._context = multiprocessing.get_context("spawn")
        self._locks = [Lock() for _ in range(count)]
        self._processes: list[Any] = [None] * count
        self._connections: list[Connection | None] = [None] * count
        for index in range(count):
            self._spawn(index)
        for index in range(count):
            self._receive(index, START_TIMEOUT_S)

    def __len__(self) -> int:
        return len(self._locks)

    def call(self, index: int, method: str, *arguments: Any) -> Any:
        """The result of ``method`` in worker ``index``.

        Raises ``WorkerFailed`` when the method raised, ``Unavailable`` when the process died or took too long: it is replaced by a
        fresh one, without the state it held.
        """
        return self.call_all([(index, method, arguments)])[0]

    def call_all(self, calls: Sequence[tuple[int, str, tuple[Any, ...]]]) -> list[Any]:
        """Several calls at once, at most one a worker; they run side by side. Results in the order of the calls."""
        indices = sorted({index for index, _, _ in calls})
        if len(indices) != len(calls):
            raise ValueError("one call a worker at a time")
        for index in indices:
            self._locks[index].acquire()
        try:
            for index, method, arguments in calls:
                self._send(index, method, arguments)
            results: list[Any] = []
            failure: Exception | None = None
            for index, _, _ in calls:
                try:
                    results.append(self._receive(index, self._timeout_s))
                except (WorkerFailed, Unavailable) as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            return results
        finally:
            for index in indices:
                self._locks[index].release()

    def close(self) -> None:
        """Ends the processes; a call in flight is cut off."""
        for connection in self._connections:
            if connection is not None:
                connection.close()
        for process in self._processes:
            if process is not None:
                process.join(2.0)
                if process.is_alive():
                    process.kill()
                    process.join()

    def _spawn(self, index: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._target, self._options, theirs), daemon=True)
        process.start()
        theirs.close()
        self._processes[index], self._connections[index] = process, ours

    def _replace(self, index: int) -> None:
        process, connection = self._processes[index], self._connections[index]
        if connection is not None:
            connection.close()
        process.kill()
        process.join()
        self._spawn(index)
        self._receive(index, START_TIMEOUT_S)

    def _send(self, index: int, method: str, arguments: tuple[Any, ...]) -> None:
        connection = self._connections[index]
        if connection is None:
            raise Unavailable("The worker process is gone.")
        try:
            connection.send((method, arguments))
        except (BrokenPipeError, OSError):
            self._replace(index)
            raise Unavailable("A worker process died; a fresh one has taken its place.") from None

    def _receive(self, index: int, timeout_s: float) -> Any:
        connection = self._connections[index]
        if connection is None:
            raise Unavailable("The worker process is gone.")
        try:
            if not connection.poll(timeout_s):
                self._replace(index)
                raise Unavailable("A worker process took too long; a fresh one has taken its place.")
            is_result, value = connection.recv()
        except (EOFError, ConnectionResetError):
            self._replace(index)
            raise Unavailable("A worker process died; a fresh one has taken its place.") from None
        if not is_result:
            raise WorkerFailed(value)
        return value
