"""The least that could be done: a bare WebSocket server that puts every message on Kafka, reads it back and sends it out.

    python -m benchmarks.relay HOPS PARTITIONS        VOXRELAY_KAFKA_BOOTSTRAP leads to the broker; prints its port, runs until SIGTERM

The peer of ``benchmarks.overhead``, on the same broker and machine: the same messages, partitions, keys and acknowledgements, as many hops through
the log as the platform makes, and nothing of the platform. One process: it has no thread or process to change to between two hops. Without
any hop it only puts messages on Kafka: the peer of ``benchmarks.gateway``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

LINGER_MS = 5


class Relay:
    """The first hop is written by the socket, each further one by a reader thread, the last one read for the sockets."""

    def __init__(self, bootstrap: str, hops: int, partitions: int) -> None:
        self._sockets: dict[bytes, ServerConnection] = {}
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        names = [f"relay.{uuid.uuid4().hex}.{number}" for number in range(max(1, hops))]
        admin = AdminClient({"bootstrap.servers": bootstrap})  # which answers as long as somebody holds it
        for future in admin.create_topics([NewTopic(name, partitions, 1) for name in names]).values():
            future.result(30)
        settings = {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random"}
        self._first, self._entrance = Producer(settings | {"linger.ms": LINGER_MS}), names[0]
        self._threads = []
        ways = zip(names, [*names[1:], ""], strict=True) if hops else ()
        for here, after in ways:
            producer = Producer(settings | {"linger.ms": 0}) if after else None
            reader = self._reader(bootstrap, here, partitions)
            self._threads.append(threading.Thread(target=self._pass_on, args=(reader, producer, after), daemon=True))
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _reader(bootstrap: str, topic: str, partitions: int) -> Consumer:
        reader = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False, "fetch.wait.max.ms": 100})
        reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        return reader

    def _pass_on(self, reader: Consumer, producer: Producer | None, topic: str) -> None:
        while not self._stop.is_set():
            first = reader.poll(0.1)
            if first is None:
                continue
            batch = [message for message in (first, *reader.consume(499, 0)) if message.error() is None]
            if producer is None:
                self._loop.call_soon_threadsafe(self._send_out, [(message.key(), message.value()) for message in batch])
                continue
            for message in batch:
                producer.produce(topic, message.value(), message.key())
            producer.flush()
        reader.close()

    def _send_out(self, answers: list[tuple[bytes, bytes]]) -> None:
        for key, value in answers:
            socket = self._sockets.get(key)
            if socket is not None:
                socket.transport.write(bytes((0x82, 126)) + len(value).to_bytes(2, "big") + value)  # an unmasked binary frame, RFC 6455

    async def call(self, socket: ServerConnection) -> None:
        key = uuid.uuid4().hex.encode()
        self._sockets[key] = socket
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in socket:
                    self._first.produce(self._entrance, message, key, on_delivery=_complain)
                    self._first.poll(0)
        finally:
            del self._sockets[key]

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._first.flush(5)


def _complain(error: KafkaError | None, _message: Any) -> None:
    if error is not None:
        sys.stderr.write(f"The broker did not take a record: {error.str()}\n")


async def run(bootstrap: str, hops: int, partitions: int, announce: Callable[[int], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    relay = Relay(bootstrap, hops, partitions)
    async with serve(relay.call, "127.0.0.1", 0, compression=None) as server:
        announce(server.sockets[0].getsockname()[1])
        await stop.wait()
    relay.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(os.environ["VOXRELAY_KAFKA_BOOTSTRAP"], int(sys.argv[1]), int(sys.argv[2]), lambda port: print(port, flush=True)))
