"""PostgreSQL: killed, or stopped in order, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform


@contextmanager
def kill(platform: Platform, server: str) -> Iterator[None]:
    platform.kill_server(server)
    try:
        yield
    finally:
        platform.start_server(server)


@contextmanager
def restart(platform: Platform, server: str) -> Iterator[None]:
    platform.stop_server(server)
    try:
        yield
    finally:
        platform.start_server(server)
