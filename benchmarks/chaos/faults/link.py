"""The network between the services and one server: cut, so that nothing arrives and nobody is told, or late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform

LATE_S = 0.2  # each way


@contextmanager
def cut(platform: Platform, server: str) -> Iterator[None]:
    platform.links[server].cut()
    try:
        yield
    finally:
        platform.links[server].mend()


@contextmanager
def delay(platform: Platform, server: str) -> Iterator[None]:
    platform.links[server].delay(LATE_S)
    try:
        yield
    finally:
        platform.links[server].mend()
