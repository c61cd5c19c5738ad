"""The worker process an engine runs in: it hangs, or the kernel ends it for want of memory. The service around it lives on."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform


def _workers(platform: Platform, service: str) -> list[int]:
    stack, name = platform.stack_of(service)
    return stack.workers(name) if stack.is_up(name) else []


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # its service has replaced it meanwhile
            os.kill(pid, number)


@contextmanager
def hang(platform: Platform, service: str) -> Iterator[None]:
    """It does nothing for a while, and is then ended, as the service itself does after its limit (three minutes for a transcription)."""
    pids = _workers(platform, service)
    _send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(pids, signal.SIGKILL)


@contextmanager
def out_of_memory(platform: Platform, service: str) -> Iterator[None]:
    _send(_workers(platform, service), signal.SIGKILL)
    yield
