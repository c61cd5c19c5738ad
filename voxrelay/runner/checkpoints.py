"""Sessions' snapshots in a compacted topic, in the partition with the same number as their session's records."""

from __future__ import annotations

from voxrelay.bus.api import Bus, Producer, TopicPartition
from voxrelay.errors import Unavailable
from voxrelay.runner.sessions import Checkpoint
from voxrelay.v1 import events_pb2

EMPTY_POLLS = 100  # of 0.1 s each, before a partition that should have more to say is given up


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

    def read(self, partition: int) -> list[Checkpoint]:
        """The furthest checkpoint of every session in the partition. Raises ``Unavailable`` if the log stops answering on the way."""
        source = TopicPartition(self._topic, partition)
        start, end = self._bus.offsets([source])[source]
        if start == end:
            return []
        furthest: dict[str, Checkpoint] = {}
        consumer = self._bus.read({source: start})
        try:
            seen, empty = start, 0
            while seen < end:
                records = consumer.poll(500, 0.1)
                empty = 0 if records else empty + 1
                if empty > EMPTY_POLLS:
                    raise Unavailable("The checkpoints could not be read.")
                for record in records:
                    seen = record.offset + 1
                    if record.value is not None:
                        checkpoint = self._decode(record.value)
                        known = furthest.get(checkpoint.session_id)
                        if known is None or checkpoint.next_offset >= known.next_offset:
                            furthest[checkpoint.session_id] = checkpoint
        finally:
            consumer.close()
        return list(furthest.values())

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
