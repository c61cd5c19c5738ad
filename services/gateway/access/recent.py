"""What was looked up lately, so that a busy key does not cost a query each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

RECENT_S = 5.0  # so long may a revoked key still open something
MOST_KEPT = 10_000

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Used on the event loop. What was not found is remembered, too."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[bytes | str, tuple[float, Value]] = {}

    async def get(self, name: bytes | str, look_up: Callable[[], Awaitable[Value]]) -> Value:
        """As it was at most ``RECENT_S`` ago; what ``look_up`` raises is not remembered."""
        ends_at, value = self._kept.get(name, (0.0, None))
        if value is not None and ends_at > self._clock():
            return value
        found = await look_up()
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = (self._clock() + RECENT_S, found)
        return found

    def forget(self, name: bytes | str) -> None:
        """Look it up again next time."""
        self._kept.pop(name, None)
