"""Worker processes for engines that hold the interpreter lock or keep state of the whole process.

Each worker builds its own object and serves calls one after another; the caller chooses the worker, so state that lives
in one (a decoder in mid-utterance) is found again. A worker ends with the process that started it, however that one ends:
its pipe closes, and it notices as soon as the call in hand is done.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from threading import Lock
from typing import Any

from voxrelay.errors import Unavailable

START_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 2.0


class WorkerFailed(Exception):
    """The call raised inside the worker; the message is its traceback. The worker lives on."""


def _serve(target: str, options: dict[str, Any], connection: Connection) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone or has closed: nothing is left to do
        module_name, _, class_name = target.partition(":")
        try:
            served = getattr(import_module(module_name), class_name)(**options)
        except Exception:
            connection.send((False, traceback.format_exc()))
            return
        connection.send((True, None))
        while True:
            method, arguments = connection.recv()
            try:
                answer = ForkingPickler.dumps((True, getattr(served, method)(*arguments)))
            except Exception:  # raised by the method, or its result cannot be pickled
                answer = ForkingPickler.dumps((False, traceback.format_exc()))
            connection.send_bytes(answer)


class _Worker:
    """One process and its pipe. Used under ``lock``, but for ``kill``."""

    def __init__(self, context: Any, target: str, options: dict[str, Any]) -> None:
        self._context, self._target, self._options = context, target, options
        self.lock = Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._target, self._options, theirs), daemon=True)
        process.start()
        theirs.close()
        self._process, self._connection = process, ours

    def send(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Raises ``Unavailable`` when there is no process and none can be started."""
        if self._connection is None:  # the last attempt to replace it failed
            self.start()
            self.receive(START_TIMEOUT_S)
        assert self._connection is not None  # noqa: S101  # start has set it, or receive has raised
        try:
            self._connection.send((method, arguments))
        except OSError:
            self.stop()
            raise Unavailable("A worker process died; a fresh one takes its place.") from None

    def receive(self, timeout_s: float) -> Any:
        """The answer to what was sent last. Raises ``WorkerFailed``, or ``Unavailable`` after which there is no process."""
        if self._connection is None:
            raise Unavailable("A worker process is gone; a fresh one takes its place.")
        try:
            if not self._connection.poll(timeout_s):
                self.stop()
                raise Unavailable("A worker process took too long; a fresh one takes its place.")
            is_result, value = self._connection.recv()
        except (EOFError, OSError):
            self.stop()
            raise Unavailable("A worker process died; a fresh one takes its place.") from None
        if not is_result:
            raise WorkerFailed(value)
        return value

    def stop(self, patience_s: float = 0.0) -> None:
        """The process has ended when this returns; it has ``patience_s`` to do so by itself."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None:
            process.join(patience_s)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()

    def kill(self) -> None:
        """From any thread: whoever waits for the worker's answer learns at once that it died."""
        process = self._process
        if process is not None:
            with suppress(ValueError):  # it ended and was closed in this moment
                process.kill()

    @property
    def process_id(self) -> int | None:
        process = self._process
        return process.pid if process is not None else None


class Workers:
    """``count`` processes, each with its own ``module:Class`` instance. Thread-safe; calls to one worker queue up.

    A worker that died or took too long is replaced, without the state it held, when it is called next.
    """

    def __init__(self, target: str, count: int, timeout_s: float = 120.0, **options: Any) -> None:
        """Starts all workers side by side. Raises ``WorkerFailed`` when the object cannot be built, ``Unavailable`` when a process does not start."""
        if count < 1:
            raise ValueError("at least one worker")
        context = multiprocessing.get_context("spawn")
        self._timeout_s = timeout_s
        self._is_closed = False
        self._workers = [_Worker(context, target, options) for _ in range(count)]
        try:
            for worker in self._workers:
                worker.start()
            for worker in self._workers:
                worker.receive(START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def process_ids(self) -> list[int | None]:
        """By index; None for a worker that is being replaced."""
        return [worker.process_id for worker in self._workers]

    def call(self, index: int, method: str, *arguments: Any) -> Any:
        """The result of ``method`` in worker ``index``.

        Raises ``WorkerFailed`` when the method raised, ``Unavailable`` when the process died or took too long: the next call finds a
        fresh one, without the state it held.
        """
        return self.call_all([(index, method, arguments)])[0]

    def call_all(self, calls: Sequence[tuple[int, str, tuple[Any, ...]]]) -> list[Any]:
        """Several calls at once, at most one a worker; they run side by side. Results in the order of the calls.

        All calls have ended when this returns or raises; of several failures the first is raised.
        """
        indices = sorted({index for index, _, _ in calls})
        if len(indices) != len(calls):
            raise ValueError("one call a worker at a time")
        for index in indices:  # always in this order, so that two callers never wait for each other
            self._workers[index].lock.acquire()
        try:
            if self._is_closed:
                raise Unavailable("The worker processes have been closed.")
            return self._exchange(calls)
        finally:
            for index in indices:
                self._workers[index].lock.release()

    def _exchange(self, calls: Sequence[tuple[int, str, tuple[Any, ...]]]) -> list[Any]:
        failures: dict[int, Exception] = {}
        for index, method, arguments in calls:
            try:
                self._workers[index].send(method, arguments)
            except (WorkerFailed, Unavailable) as error:
                failures[index] = error
        results: list[Any] = []
        for index, _, _ in calls:
            if index not in failures:
                try:
                    results.append(self._workers[index].receive(self._timeout_s))
                except (WorkerFailed, Unavailable) as error:
                    failures[index] = error
        for index, _, _ in calls:
            if index in failures:
                raise failures[index]
        return results

    def close(self) -> None:
        """Ends the processes within seconds; a call in flight is cut off and raises ``Unavailable``, as every later one does."""
        self._is_closed = True
        for worker in self._workers:
            if not worker.lock.acquire(blocking=False):
                worker.kill()
                worker.lock.acquire()
            try:
                worker.stop(CLOSE_TIMEOUT_S)
            finally:
                worker.lock.release()
