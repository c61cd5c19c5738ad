"""What can go wrong, one file a kind. ``KINDS`` is the table: a name, what it may strike, for how long, and how.

A fault is a context manager: inside its block the platform is broken, when the block is left everything is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.chaos.faults import broker, clock, crash, database, drain, engine, freeze, link, poison, scale, store
from benchmarks.chaos.platform import Platform

SERVICES = ("denoise", "diarize", "transcribe", "classify", "synth", "projector", "gateway", "gateway/1")
SCALED = ("denoise", "diarize", "transcribe", "classify", "projector", "gateway")
BROKERS = ("kafka", "kafka-2", "kafka-3")
SERVERS = (*BROKERS, "postgres", "s3")
POISONED = ("speech.audio.received.v1", "speech.audio.denoised.v1", "speech.segment.transcribed.v1")
CLOCKED = ("denoise", "transcribe", "projector", "gateway")


@dataclass(frozen=True, slots=True)
class Kind:
    """``lasts_s``: the shortest and the longest. ``strike(platform, target)`` breaks the target and mends it."""

    what: str
    targets: Sequence[str]
    lasts_s: tuple[float, float]
    strike: Callable[[Platform, str], AbstractContextManager[None]]


CLOCKS = frozenset({"clock ahead", "clock back"})  # these need libfaketime
KINDS: dict[str, Kind] = {
    "kill": Kind("kill -9, and started again", SERVICES, (0.0, 2.0), crash.strike),
    "freeze": Kind("SIGSTOP, then SIGCONT", SERVICES, (1.0, 9.0), freeze.strike),  # beyond 6 s its group gives its partitions away
    "drain": Kind("SIGTERM, and started again", SERVICES, (0.0, 2.0), drain.strike),
    "scale": Kind(
        "a second and third replica, and away again",
        SCALED,
        (6.0, 12.0),
        scale.strike,
    ),
    "broker kill": Kind("kill -9 of a broker, and started again", BROKERS, (2.0, 8.0), broker.kill),
    "broker restart": Kind("a broker stopped in order, and started again", BROKERS, (0.0, 3.0), broker.restart),
    "database kill": Kind("kill -9 of PostgreSQL, and started again", ("postgres",), (0.0, 3.0), database.kill),
    "database restart": Kind("PostgreSQL stopped in order, and started again", ("postgres",), (0.0, 3.0), database.restart),
    "store refuses": Kind("the object store takes no connection", ("s3",), (2.0, 6.0), store.refuse),
    "store fails": Kind("the object store answers 503", ("s3",), (2.0, 6.0), store.fail),
    "store is full": Kind("the object store answers 507", ("s3",), (2.0, 6.0), store.fill),
    "store is slow": Kind("the object store answers 4 s later", ("s3",), (4.0, 10.0), store.slow),
    "cut": Kind("the link from the services to a server: nothing arrives", SERVERS, (2.0, 8.0), link.cut),
    "delay": Kind("the link to a server: 200 ms later each way", SERVERS, (3.0, 8.0), link.delay),
    "poison": Kind(
        "records that no reader can decode",
        POISONED,
        (0.0, 0.0),
        poison.strike,
    ),
    "engine hangs": Kind("SIGSTOP of an engine's worker process, ended after a while", ("transcribe",), (2.0, 6.0), engine.hang),
    "engine out of memory": Kind("SIGKILL of an engine's worker process", ("transcribe", "synth"), (0.0, 0.0), engine.out_of_memory),
    "clock ahead": Kind("the wall clock of a service jumps an hour ahead, and back again", CLOCKED, (4.0, 8.0), clock.ahead),
    "clock back": Kind("the wall clock of a service jumps an hour back, and ahead again", CLOCKED, (4.0, 8.0), clock.back),
}
