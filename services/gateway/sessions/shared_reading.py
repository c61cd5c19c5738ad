"""Spans of the log read for several sessions at once: when a gateway ends, all its clients come back together, and many share a partition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from voxrelay import codec
from voxrelay.bus.api import Bus, Consumer, TopicPartition
from voxrelay.bus.span import read_to
from voxrelay.errors import Poison
from voxrelay.events import Event

READ_WITHIN_S = 20.0
CLOCKS_DIFFER_S = 5.0  # between gateways and brokers
READINGS_AT_ONCE = 6  # they mostly wait for the brokers; what they find is little, and live sessions go on meanwhile

Offsets = Mapping[TopicPartition, int]
Topics = tuple[str, ...]


@dataclass(frozen=True)
class _Wish:
    key: bytes
    since: float | Offsets
    take: Callable[[Event], None]
    ends: asyncio.Future[Offsets] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class SharedReading:
    """Lives on one event loop. Whoever asks while a reading of the same partition is under way, or waits its turn, shares the next one."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._pool = ThreadPoolExecutor(READINGS_AT_ONCE, "gateway-reading")
        self._turns = asyncio.Semaphore(READINGS_AT_ONCE)
        self._wishes: dict[tuple[Topics, int], list[_Wish]] = {}
        self._readers: dict[tuple[Topics, int], asyncio.Task[None]] = {}

    def close(self) -> None:
        """Nothing is to be read any more."""
        self._pool.shutdown()

    async def read(self, session_id: str, topics: Topics, partition: int, since: float | Offsets, take: Callable[[Event], None]) -> Offsets:
        """Give ``take`` the session's events in these partitions, up to the ends the log has now or later, which are returned.

        ``since`` is a wall-clock time or the offsets of an earlier end. What lies before it may come as well. ``take`` is called from another
        thread, in order within each partition. Raises ``Unavailable`` when the log does not give the records in time.
        """
        wish = _Wish(session_id.encode(), since, take)
        place = (topics, partition)
        self._wishes.setdefault(place, []).append(wish)
        if place not in self._readers:
            self._readers[place] = asyncio.create_task(self._serve(place))
        return await wish.ends

    async def _serve(self, place: tuple[Topics, int]) -> None:
        while place in self._wishes:
            async with self._turns:
                wishes = self._wishes.pop(place)
                try:
                    sources = [TopicPartition(topic, place[1]) for topic in place[0]]
                    ends = await asyncio.get_running_loop().run_in_executor(self._pool, self._read, sources, wishes)
                except Exception as error:
                    for wish in wishes:
                        if not wish.ends.done():
                            wish.ends.set_exception(error)
                else:
                    for wish in wishes:
                        if not wish.ends.done():
                            wish.ends.set_result(ends)
        del self._readers[place]

    def _read(self, sources: Sequence[TopicPartition], wishes: Sequence[_Wish]) -> Offsets:
        starts = self._starts(sources, wishes)
        ends = {source: end for source, (_, end) in self._bus.offsets(sources).items()}
        ahead = {source: end for source, end in ends.items() if end > starts[source]}
        if not ahead:
            return ends
        takes: dict[bytes, list[Callable[[Event], None]]] = {}
        for wish in wishes:
            takes.setdefault(wish.key, []).append(wish.take)
        consumer = self._bus.read({source: starts[source] for source in ahead}, keys=takes.keys())
        try:
            for records in read_to(consumer, ahead, "The log did not give the sessions' records in time.", READ_WITHIN_S):
                for record in records:
                    if record.key not in takes or record.offset >= ahead[record.source]:
                        continue
                    try:
                        event = codec.decode(record.key, record.value, record.headers)
                    except Poison:
                        continue  # its reader has put it to the dead letters
                    for take in takes[record.key]:
                        take(event)
        finally:
            self._let_go(consumer)
        return ends

    def _let_go(self, consumer: Consumer) -> None:
        """Closing takes longer than a short reading, and nobody has to wait for it."""
        try:
            self._pool.submit(consumer.close)
        except RuntimeError:  # the gateway ends
            consumer.close()

    def _starts(self, sources: Sequence[TopicPartition], wishes: Sequence[_Wish]) -> Offsets:
        """The earliest that anybody wants."""
        wanted = [wish.since for wish in wishes if isinstance(wish.since, Mapping)]
        times = [wish.since for wish in wishes if not isinstance(wish.since, Mapping)]
        if times:
            wanted.append(self._bus.offsets_at(sources, min(times) - CLOCKS_DIFFER_S))
        return {source: min(offsets[source] for offsets in wanted) for source in sources}
