"""SIGTERM: what a rolling update does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform


class NotDrained(Exception):
    """A service that was asked to end did not do so with status 0."""


@contextmanager
def strike(platform: Platform, service: str) -> Iterator[None]:
    stack, name = platform.stack_of(service)
    stack.wait_ready(name)  # it may just have been killed, and a process that still starts has nothing to drain
    try:
        status = platform.stop(service)
        yield
    finally:
        platform.start(service)
    if status != 0:
        raise NotDrained(f"{service} ended with status {status} after SIGTERM; see {platform.log(service)}")
