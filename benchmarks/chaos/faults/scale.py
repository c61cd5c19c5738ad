"""More replicas of a service while people speak, and fewer again: partitions move twice, with the state of their sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import GATEWAYS, MOST_REPLICAS, Platform


@contextmanager
def strike(platform: Platform, service: str) -> Iterator[None]:
    first = GATEWAYS if service == "gateway" else 1
    further = [f"{service}/{number}" for number in range(first, MOST_REPLICAS)]
    try:
        for replica in further:
            platform.start(replica)
        for replica in further:
            stack, name = platform.stack_of(replica)
            stack.wait_ready(name)
        yield
    finally:
        for replica in further:
            platform.stop(replica)
