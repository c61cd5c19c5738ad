"""How late a reader of the log is, in seconds: told by the records' own timestamps, without asking the log for anything."""

from __future__ import annotations

from collections.abc import Sequence

from voxrelay.bus.api import Consumer, Record, TopicPartition


class Lateness:
    """The age of the oldest record that is known and not handled, over all partitions; 0 when everything known is handled.

    One thread polls and handles; any thread may ask. While the reader hangs in one batch the answer grows. What nobody has polled yet is not
    known: of a partition with more behind the last batch it is taken to be as old as that batch's last record, until the next poll tells.
    """

    def __init__(self) -> None:
        self._waiting_ms: dict[TopicPartition, int] = {}  # timestamp of the oldest record in hand or behind it
        self._last: dict[TopicPartition, tuple[int, int]] = {}  # of what was handled last: the offset after it, its timestamp
        self._oldest_ms: int | None = None

    def polled(self, records: Sequence[Record]) -> None:
        self._waiting_ms.update({record.source: record.timestamp_ms for record in reversed(records)})
        self._look()

    def handled(self, records: Sequence[Record], consumer: Consumer) -> None:
        """All that was polled is done with."""
        self._last.update({record.source: (record.offset + 1, record.timestamp_ms) for record in records})
        if not self._waiting_ms:
            return
        ends = consumer.ends(list(self._waiting_ms))
        for source in list(self._waiting_ms):
            next_offset, timestamp_ms = self._last.get(source, (0, self._waiting_ms[source]))
            if next_offset >= ends.get(source, next_offset):
                del self._waiting_ms[source]
            else:
                self._waiting_ms[source] = timestamp_ms
        self._look()

    def forget(self, source: TopicPartition) -> None:
        """The partition is another's now."""
        self._waiting_ms.pop(source, None)
        self._last.pop(source, None)
        self._look()

    def lag_s(self, now: float) -> float:
        """``now`` in seconds since the epoch. Clocks that differ between machines are in it."""
        oldest_ms = self._oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, now - oldest_ms / 1000)

    def _look(self) -> None:
        self._oldest_ms = min(self._waiting_ms.values(), default=None)
