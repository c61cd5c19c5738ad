"""Hours under load: whether memory grows and whether anything gets later, while callers come and go.

    python -m benchmarks.soak [--minutes 30] [--share 0.7] [--engine pass-through|bundled] [--sessions N] [--call-minutes 2]

The services as processes of their own over a broker of their own. First more and more people call until the platform is late; then ``--share``
of the most it carried call for ``--minutes`` (360 for a night), each some minutes long, and another begins in the place of each who hangs up.
Every ``--every`` seconds: the memory of every process with its workers, and the delay of what callers received, counted from the sending of the
newest audio it covers (pass-through: an interim result a chunk; bundled: finals of real speech).

A figure is *flat* when the 95 % confidence interval of its robust slope, after the first fifth, lies below what is allowed (memory 5 % of its
level an hour, delays 25 %), *growing* when it lies above, else *undecided*: then the run was too short to say. The broker is shown, not
judged: its heap fills until it is collected. Exit status 1 when a figure grows, a call went wrong or a service ended, which ends the run.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from benchmarks import alone
from benchmarks.bulk import strung_together
from benchmarks.processes import Watch
from benchmarks.report import DATA, OUT, percentile, print_table, write_json
from benchmarks.soak.calls import Load
from benchmarks.soak.capacity import SETTLE_S, capacity
from benchmarks.soak.picture import draw
from benchmarks.soak.trend import Trend, trend, worst
from voxrelay.topology import AUDIO_DENOISED, AUDIO_RECEIVED

MEMORY_ALLOWED, DELAY_ALLOWED = 0.05, 0.25  # of the level, an hour
WARM_UP_SHARE = 0.2
LOG_BYTES = 32_000_000  # a partition keeps: a night of audio would fill the disk
SERVICES = ("gateway", "denoise", "transcribe", "projector")


@dataclass(frozen=True)
class Kind:
    """What is run: programs in a service's place, what is asked for, which messages count, and what is late."""

    services: tuple[str, ...]
    modules: Mapping[str, Any]
    parameters: dict[str, str]
    counts: str
    late_s: float
    first_step: int


WORDS_ONLY = {"diarize": "false", "attributes": "false", "vad_enabled": "false", "keep_audio": "false"}
PASSING = {name: ("benchmarks.passthrough", name) for name in ("denoise", "transcribe")}
KINDS = {
    "pass-through": Kind(SERVICES, PASSING, WORDS_ONLY, "interim", 0.25, 20),
    "bundled": Kind((*SERVICES, "diarize", "classify"), {}, {}, "final", 3.0, 1),
}
SETTINGS = {
    "VOXRELAY_OBJECT_STORE_URL": f"file://{OUT}/soak-objects",
    "VOXRELAY_GATEWAY_MAX_SESSIONS": "5000",
    "VOXRELAY_GATEWAY_MAX_BUSY": "0",  # lateness alone says what the most is
    "VOXRELAY_LOG_LEVEL": "warning",
}


@dataclass
class Interval:
    """What was seen in one; ``until_s`` counts from the beginning of the soak."""

    until_s: float
    messages: int
    p50_ms: float
    p99_ms: float
    calls_ended: int
    memory_mb: dict[str, float] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)


def keep_little(bootstrap: str) -> None:
    """The audio topics keep LOG_BYTES a partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    settings = {"retention.bytes": str(LOG_BYTES), "segment.bytes": str(LOG_BYTES // 4)}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()]
    topics = [ConfigResource(ResourceType.TOPIC, topic.name("live"), incremental_configs=entries) for topic in (AUDIO_RECEIVED, AUDIO_DENOISED)]
    for done in admin.incremental_alter_configs(topics).values():
        done.result(30)


async def soak(load: Load, watch: Watch, seconds: float, every_s: float, ended: Callable[[], list[str]]) -> list[Interval]:
    """Until it is over, or a service has ended."""
    found: list[Interval] = []
    started = time.perf_counter()
    load.delays.clear()
    load.ended.clear()
    watch.cores()
    while (until := every_s * (len(found) + 1)) <= seconds + every_s / 2:
        await asyncio.sleep(max(0.0, started + until - time.perf_counter()))
        delays, load.delays = load.delays, []
        p50, p99 = (round(percentile(delays, share) * 1000, 1) if delays else 0.0 for share in (0.5, 0.99))
        memory = await asyncio.to_thread(watch.memory)
        found.append(Interval(until, len(delays), p50, p99, load.ended.total(), memory, watch.cores()))
        print(
            f"  {until / 60:6.1f} min  p50 {p50:.0f}  p99 {p99:.0f} ms  {sum(memory.values()):.0f} MB  {load.ended.total()} calls ended", flush=True
        )
        if ended():
            break
    return found


def judge(intervals: list[Interval]) -> dict[str, Trend]:
    """Each process's memory and both delays, after the warm-up."""
    counted = intervals[int(len(intervals) * WARM_UP_SHARE) :]
    times = [each.until_s for each in counted]
    found = {f"{name} MB": trend(times, [each.memory_mb[name] for each in counted], MEMORY_ALLOWED) for name in counted[0].memory_mb}
    found |= {f"{name} ms": trend(times, [getattr(each, f"{name}_ms") for each in counted], DELAY_ALLOWED) for name in ("p50", "p99")}
    return found


async def run(url: str, watch: Watch, kind: Kind, arguments: argparse.Namespace, ended: Callable[[], list[str]]) -> dict[str, Any]:
    speech = b"".join(wav[44:] for _, wav in zip(range(1), strung_together(arguments.data, 600.0), strict=False))
    load = Load(url, speech, counts=kind.counts, parameters=kind.parameters, call_s=arguments.call_minutes * 60, seed=1)
    steps: list[tuple[int, float]] = []
    sessions, most = arguments.sessions, 0
    if not sessions:
        print("more and more people call:", flush=True)
        most, steps = await capacity(load, kind.first_step, kind.late_s)
        sessions = max(1, int(most * arguments.share))
    print(f"{sessions} people at a time for {arguments.minutes:g} minutes:", flush=True)
    await load.hold(sessions)
    await asyncio.sleep(SETTLE_S)
    intervals = await soak(load, watch, arguments.minutes * 60, arguments.every, ended)
    calls = dict(load.ended)
    await load.hold(0)
    return {"capacity": most, "steps": steps, "sessions": sessions, "calls": calls, "intervals": intervals}


def report(done: dict[str, Any], kind: Kind, arguments: argparse.Namespace) -> bool:
    """Tables, JSON and picture; whether nothing grows and no call went wrong."""
    intervals: list[Interval] = done["intervals"]
    trends = judge(intervals)
    names = [name for name in kind.services if name in intervals[0].memory_mb] + ["broker"]
    step = max(1, len(intervals) // 30)
    rows = [
        [
            f"{each.until_s / 60:.1f}",
            each.messages,
            each.p50_ms,
            each.p99_ms,
            *(round(each.memory_mb[n], 1) for n in names),
            round(each.cores["stolen"], 2),
            each.calls_ended,
        ]
        for each in intervals[step - 1 :: step]
    ]
    print_table(
        f"{done['sessions']} people at a time ({arguments.engine}), calls of {arguments.call_minutes:g} minutes that come and go: memory in MB",
        ("minute", "messages", "p50 ms", "p99 ms", *names, "cores stolen", "calls ended"),
        rows,
    )
    judged = {name: each for name, each in trends.items() if name != "broker MB"}
    cells = [
        [
            name,
            round(t.level, 1),
            *(f"{value:+.1%}" for value in (t.growth, t.growth_low, t.growth_high, t.allowed)),
            t.verdict if name in judged else "-",
        ]
        for name, t in trends.items()
    ]
    print_table("growth an hour, after the first fifth", ("figure", "level", "slope", "from", "to", "allowed", "verdict"), cells)
    verdict = worst(list(judged.values()))
    wrong = {how: times for how, times in done["calls"].items() if how != "closed"}
    print(
        f"\n{verdict}; {done['calls'].get('closed', 0)} calls ended as they should, {sum(wrong.values())} did not{': ' if wrong else ''}{wrong or ''}"
    )
    figures = {"arguments": {name: str(value) for name, value in vars(arguments).items()}, "verdict": verdict}
    trends_json = {name: asdict(each) | {"verdict": each.verdict} for name, each in trends.items()}
    write_json("soak", figures | done | {"intervals": [asdict(each) for each in intervals], "trends": trends_json})
    draw([asdict(each) for each in intervals], OUT / "soak.png")
    return verdict != "grows" and not wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.7, help="of the most sessions it carried")
    parser.add_argument("--sessions", type=int, default=0, help="so many, instead of looking for the most")
    parser.add_argument("--call-minutes", type=float, default=2.0, help="a call's mean length; half of it to half as much again")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks")
    parser.add_argument("--engine", choices=list(KINDS), default="pass-through")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real speech")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then too
    if arguments.minutes * 60 < arguments.every:
        parser.error("--every must not be longer than --minutes.")
    kind = KINDS[arguments.engine]
    try:
        with alone.broker("soak") as kafka, alone.stack("soak", kafka, kind.services, SETTINGS, kind.modules) as running:
            keep_little(kafka["VOXRELAY_KAFKA_BOOTSTRAP"])
            pids = {name: running.pid(name) for name in kind.services} | {"broker": alone.broker_pid("soak")}
            done = asyncio.run(run(running.url, Watch(pids), kind, arguments, running.ended))
            is_well = report(done, kind, arguments)
            for name in kind.services:
                if warnings := running.log_path(name).read_text().count("\n"):
                    print(f"{name} warned {warnings} times: {running.log_path(name)}")
    finally:
        shutil.rmtree(OUT / "soak-objects", ignore_errors=True)
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
