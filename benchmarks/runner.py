"""What the runner costs an event: poll, decode, order, publish, checkpoint and commit around a stage that only passes audio on.

    python -m benchmarks.runner [--events 30000] [--sessions 50]

On the in-memory bus, so that the network and the broker stay out of it. The stage's own time and the bus's appends for the input
are measured apart and taken off.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks.report import print_table, write_json, write_shares
from voxrelay import codec
from voxrelay.bus.memory import MemoryBus
from voxrelay.events import AudioDenoised, AudioReceived, Event, SessionConfig, SessionOpened
from voxrelay.runner import StageRunner
from voxrelay.topology import AUDIO_RECEIVED, DENOISE, topic_specs

CHUNK = bytes(3200)  # 100 ms


class PassThrough:
    """Costs nothing but the objects it makes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.events = 0

    def process(self, batch: Sequence[Event]) -> Iterator[Event]:
        started = time.perf_counter()
        outputs = [Event(e.session_id, AudioDenoised(0, e.payload.pcm_s16le)) for e in batch if isinstance(e.payload, AudioReceived)]
        self.seconds += time.perf_counter() - started
        self.events += len(batch)
        yield from outputs

    def snapshot(self, session_id: str) -> bytes | None:  # noqa: ARG002  # there is no state
        return b"state"

    def restore(self, session_id: str, state: bytes) -> None:
        """There is no state."""

    def forget(self, session_id: str) -> None:
        """There is no state."""


def fill(bus: MemoryBus, sessions: int, events: int) -> None:
    producer = bus.producer()
    for number in range(events):
        session, sequence = f"session-{number % sessions}", number // sessions + 1
        payload = SessionOpened(SessionConfig()) if sequence == 1 else AudioReceived((sequence - 2) * 1600, CHUNK)
        event = Event(session, payload, "gateway", sequence, f"{session}/gateway/{sequence}", time.time(), time.time(), "00-" + "a" * 32)
        producer.send(AUDIO_RECEIVED.name("live"), *codec.encode(event, "protobuf"))


def measure(sessions: int, events: int, max_batch: int) -> dict[str, float]:
    bus = MemoryBus()
    bus.create_topics(topic_specs(4))
    fill(bus, sessions, events)
    stage = PassThrough()
    runner = StageRunner(bus, DENOISE, "live", stage, batch_events=max_batch)
    stop = threading.Event()
    started = time.perf_counter()
    used = time.process_time()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    while stage.events < events:
        time.sleep(0.001)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    stop.set()
    thread.join()
    return {"batch": max_batch, "us_per_event": (cpu - stage.seconds) / events * 1e6, "events_per_second": events / wall}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--sessions", type=int, default=50)
    arguments = parser.parse_args()
    rows = [measure(arguments.sessions, arguments.events, batch) for batch in (1, 10, 50, 500)]
    print_table(
        "Runner cost, 100 ms chunks in, one event out of each",
        ("batch", "µs an event", "events/s"),
        [(int(row["batch"]), f"{row['us_per_event']:.1f}", f"{row['events_per_second']:.0f}") for row in rows],
    )
    write_json("runner", {"rows": rows})
    write_shares("runner", "events in a batch", "µs an event", {"runner": [(row["batch"], row["us_per_event"]) for row in rows]})


if __name__ == "__main__":
    main()
