"""The wall clock of one service, an hour ahead (even seconds of its pid) or back, by Debian's libfaketime; what is monotonic stays so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform

JUMP_S = 3600


@contextmanager
def jump(platform: Platform, service: str) -> Iterator[None]:
    stack, name = platform.stack_of(service)
    offset_s = JUMP_S if stack.pid(name) % 2 else -JUMP_S
    platform.clock_file(service).write_text(f"{offset_s:+d}\n")
    try:
        yield
    finally:
        platform.clock_file(service).write_text("+0\n")
