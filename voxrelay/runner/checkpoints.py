"""Sessions' snapshots in a compacted topic, in the partition with the same number as their session's records."""

from __future__ import annotations

from collections.abc import Collection

from voxrelay.bus.api import Bus, Producer, TopicPartition
from voxrelay.bus.span import read_span
from voxrelay.runner.sessions import Checkpoint
from voxrelay.v1 import events_pb2


class CheckpointLog:
    """Writes and reads one stage's checkpoints of one lane."""

    def __init__(self, bus: Bus, producer: Producer, topic: str) -> None:
        self._bus, self._producer, self._topic = bus, producer, topic

    def write(self, partition: int, checkpoint: Checkpoint) -> int:
        """Send it; it counts once the producer's flush has returned. Its size in bytes."""
        message = events_pb2.Checkpoint(
            session_id=checkpoint.session_id,
            next_offset=checkpoint.next_offset,
            last_sequences=checkpoint.last_sequences,
            last_published=checkpoint.last_published,
            state=checkpoint.state,
            is_closed=checkpoint.is_closed,
            traceparent=checkpoint.traceparent,
        )
        value = message.SerializeToString()
        self._producer.send(self._topic, checkpoint.session_id.encode(), value, partition=partition)
        return len(value)

    def read(self, partitions: Collection[int]) -> dict[int, list[Checkpoint]]:
        """The furthest checkpoint of every session, by partition. Raises ``Unavailable`` if the log stops answering on the way.

        One reader for all of them: who takes over many partitions keeps their sessions waiting no longer than for one.
        """
        bounds = self._bus.offsets([TopicPartition(self._topic, number) for number in partitions])
        starts, ends = ({source: bound[side] for source, bound in bounds.items()} for side in (0, 1))
        furthest: dict[int, dict[str, Checkpoint]] = {number: {} for number in partitions}
        for records in read_span(self._bus, starts, ends, "The checkpoints could not be read."):
            for record in records:
                if record.value is not None:
                    checkpoint = self._decode(record.value)
                    known = furthest[record.partition].get(checkpoint.session_id)
                    if known is None or checkpoint.next_offset >= known.next_offset:
                        furthest[record.partition][checkpoint.session_id] = checkpoint
        return {number: list(found.values()) for number, found in furthest.items()}

    @staticmethod
    def _decode(value: bytes) -> Checkpoint:
        message = events_pb2.Checkpoint.FromString(value)
        return Checkpoint(
            message.session_id,
            message.next_offset,
            dict(message.last_sequences),
            message.last_published,
            message.state,
            message.is_closed,
            message.traceparent,
        )
