"""One broker of the cluster: killed, or stopped in order, and back. The others hold every acknowledged record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform


@contextmanager
def kill(platform: Platform, broker: str) -> Iterator[None]:
    platform.kill_server(broker)
    try:
        yield
    finally:
        platform.start_server(broker)


@contextmanager
def restart(platform: Platform, broker: str) -> Iterator[None]:
    platform.stop_server(broker)
    try:
        yield
    finally:
        platform.start_server(broker)
