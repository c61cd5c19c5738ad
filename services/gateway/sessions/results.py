"""What comes back: one thread reads the result partitions this gateway owns and hands events of its sessions to the event loop.

A consumer group (``gateway``) decides who owns which partition number; it carries no data. The records themselves come through a second consumer,
assigned by hand to owned and draining partitions: a partition taken away is read until its last session here has ended. Each lane has
such a consumer of its own: a broker looks into every partition a consumer reads each time that one of them has something.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from voxrelay import codec
from voxrelay.bus.api import Bus, Consumer, TopicPartition
from voxrelay.errors import Fenced, Poison, Unavailable
from voxrelay.events import LANES, Event
from voxrelay.process import FENCED
from voxrelay.telemetry import fields
from voxrelay.topology import GATEWAY_READS, SEGMENT_TRANSCRIBED

log = logging.getLogger(__name__)

GROUP = "gateway"
POLL_S = 0.05
LOOK_AT_GROUP_EVERY_S = 0.5
LOOK_SOON_S = 0.1
OUTAGE_PAUSE_S = 0.5

Deliver = Callable[[Sequence[Event]], None]


class ResultReader:
    """``deliver`` is called from the reader's thread with events of the sessions that ``is_mine`` knows, in order for each session."""

    def __init__(self, bus: Bus, is_mine: Callable[[str], bool], partitions_in_use: Callable[[], Collection[int]], deliver: Deliver) -> None:
        self._bus, self._is_mine, self._in_use, self._deliver = bus, is_mine, partitions_in_use, deliver
        self._ownership_topic = SEGMENT_TRANSCRIBED.name("live")
        self._owned: set[int] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway-results", daemon=True)
        self.ready: frozenset[int] = frozenset()  # partitions new sessions may be put into
        self.reading: frozenset[int] = frozenset()  # partitions whose new records arrive
        self.failed = threading.Event()
        self._is_awaited = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def look_soon(self) -> None:
        """A session waits for its partition to be read: look at what is in use within ``LOOK_SOON_S`` or little more."""
        self._is_awaited.set()

    def check(self) -> None:
        """For /ready: raises while no partition is owned and read."""
        if not self.ready or self.failed.is_set():
            raise Unavailable("The gateway owns no result partitions yet.")

    def _run(self) -> None:
        try:
            self._read()
        except Fenced as fenced:
            log.critical(FENCED, extra=fields(reason=str(fenced)))
            self.failed.set()
        except Exception:
            log.critical("The result reader failed.", exc_info=True)
            self.failed.set()

    def _read(self) -> None:
        while not self._stop.is_set():  # the topics may not be there yet
            try:
                group = self._bus.subscribe(GROUP, [self._ownership_topic], self)
                break
            except Unavailable as error:
                log.warning("The gateway waits for its topics.", extra=fields(reason=str(error)))
                self._stop.wait(OUTAGE_PAUSE_S)
        else:
            return
        readers: list[Consumer] = []
        looked = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= looked + (LOOK_SOON_S if self._is_awaited.is_set() else LOOK_AT_GROUP_EVERY_S):
                    self._is_awaited.clear()
                    looked = time.monotonic()
                    group.poll(1, 0.0 if readers else POLL_S)
                    readers = self._follow(group, readers)
                for number, reader in enumerate(readers):
                    self._take(reader, 0.0 if number else POLL_S)  # files can wait so long, and live sessions cannot
            except Unavailable as error:
                log.warning("The log does not answer.", extra=fields(reason=str(error)))
                self._stop.wait(OUTAGE_PAUSE_S)
        for reader in readers:
            reader.close()
        group.close()

    def _take(self, reader: Consumer, wait_s: float) -> None:
        events = []
        for record in reader.poll(500, wait_s):
            self._positions[record.source] = record.offset + 1
            if not self._is_mine(record.key.decode(errors="replace")):
                continue
            try:
                events.append(codec.decode(record.key, record.value, record.headers))
            except Poison as poison:
                log.warning("A result could not be read.", extra=fields(topic=record.topic, offset=record.offset, reason=poison.reason))
        if events:
            self._deliver(events)

    def _follow(self, group: Consumer, readers: list[Consumer]) -> list[Consumer]:
        """The readers, live lane first, for what is owned or still in use now; the same ones if nothing changed."""
        wanted = self._owned | set(self._in_use())
        of_lanes = [{TopicPartition(t.name(lane), number) for t in GATEWAY_READS if lane in t.lanes for number in wanted} for lane in LANES]
        sources = set().union(*of_lanes)
        # Nothing is read through the group; its offsets move on so that nobody keeps records for it.
        group.commit(
            {source: at for source, at in self._positions.items() if source.topic == self._ownership_topic and source.partition in self._owned}
        )
        if sources == set(self._positions):
            self.ready = frozenset(self._owned)
            return readers
        self.ready = frozenset(self._owned & {source.partition for source in self._positions})
        new = sources - set(self._positions)
        ends = {source: end for source, (_, end) in self._bus.offsets(new).items()}
        self._positions = {source: self._positions[source] for source in sources & set(self._positions)} | ends
        for reader in readers:
            reader.close()
        fresh = [self._bus.read({source: self._positions[source] for source in of_lane}) for of_lane in of_lanes if of_lane]
        self.ready = frozenset(self._owned)
        self.reading = frozenset(source.partition for source in self._positions)
        group.pause([TopicPartition(self._ownership_topic, number) for number in self._owned])
        return fresh

    # --- Rebalance ---

    def assigned(self, sources: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._owned.update(source.partition for source in sources)
        return {source: end for source, (_, end) in self._bus.offsets(sources).items()}

    def revoked(self, sources: Sequence[TopicPartition]) -> None:
        self._owned.difference_update(source.partition for source in sources)
        self.ready = self.ready & self._owned

    def lost(self, sources: Sequence[TopicPartition]) -> None:
        self.revoked(sources)
