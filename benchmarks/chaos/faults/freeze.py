"""SIGSTOP: a process that is not dead and does nothing, as in a long pause of its machine. After 6 s its group gives its partitions away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform


@contextmanager
def strike(platform: Platform, service: str) -> Iterator[None]:
    stack, name = platform.stack_of(service)
    stack.freeze(name)
    try:
        yield
    finally:
        stack.thaw(name)
