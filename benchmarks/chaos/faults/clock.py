"""The wall clock of one service, an hour ahead or back, by Debian's libfaketime; what is monotonic stays so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform

JUMP_S = 3600


@contextmanager
def ahead(platform: Platform, service: str) -> Iterator[None]:
    with _shifted(platform, service, JUMP_S):
        yield


@contextmanager
def back(platform: Platform, service: str) -> Iterator[None]:
    with _shifted(platform, service, -JUMP_S):
        yield


@contextmanager
def _shifted(platform: Platform, service: str, offset_s: int) -> Iterator[None]:
    platform.clock_file(service).write_text(f"{offset_s:+d}\n")
    try:
        yield
    finally:
        platform.clock_file(service).write_text("+0\n")
