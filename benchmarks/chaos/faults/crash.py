"""kill -9 of a service with its worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform


@contextmanager
def strike(platform: Platform, service: str) -> Iterator[None]:
    platform.kill(service)
    try:
        yield
    finally:
        platform.start(service)
