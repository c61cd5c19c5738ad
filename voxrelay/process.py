"""Runs a service: a thread for each stage or projection and lane, its gRPC port, its probe; and ends them properly.

``main`` is the whole of ``python -m services.<name>``: one service over Kafka. The embedded platform uses ``ServiceThreads`` for all
services at once on the in-memory bus.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from voxrelay import tracing
from voxrelay.bus.api import Bus
from voxrelay.clock import ClockWatch
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Fenced, Unavailable
from voxrelay.events import Lane
from voxrelay.models.follower import ActivationFollower
from voxrelay.models.shadow import ShadowedStage
from voxrelay.probe import Probe
from voxrelay.rpc import RpcServer
from voxrelay.runner import ProjectionRunner, StageRunner
from voxrelay.service import Service, StagePart
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.stage import Stage
from voxrelay.telemetry import configure_logging, fields, tell_process
from voxrelay.topology import MODEL_ACTIVATED

log = logging.getLogger(__name__)

DRAIN_S = 30.0
BULK_NICENESS = 10  # a tenth of the weight of live work, where both want the same core
LOOK_FOR_BROKER_EVERY_S = 2.0
COLLECT_AFTER = (10_000, 20, 100)  # objects, young collections, middle ones
LOOK_EVERY_S = 0.5
MOST_SET_BACK_S = 5.0
SET_BACK = "The machine's clock was set back and the Kafka client's waits would take as much longer; this process ends, and its restart is exact."
FENCED = "The log serves another process of this name; this one ends: give each its own VOXRELAY_INSTANCE."


class ServiceThreads:
    """The runners of some services. When one of them fails, ``failed`` is set and the process should end: a restart is exact."""

    def __init__(self, bus: Bus, platform: PlatformSettings, services: Sequence[Service]) -> None:
        self.failed = threading.Event()
        self._stop = threading.Event()
        self._runners: list[tuple[str, Lane, StageRunner | ProjectionRunner]] = []
        self._shadowed: list[ShadowedStage] = []
        for service in services:
            for part in service.stages:
                for lane in platform.lanes:
                    if lane in part.node.reads.lanes:
                        runner = StageRunner(
                            bus,
                            part.node,
                            lane,
                            self._stage(bus, part, lane),
                            checkpoint_every=platform.checkpoint_every,
                            session_idle_s=platform.session_idle_s,
                            batch_events=platform.batch_events,
                            batch_wait_s=platform.batch_wait_ms / 1000,
                        )
                        self._runners.append((f"{part.node.name}-{lane}", lane, runner))
            for projection in service.projections:
                for lane in platform.lanes:
                    projecting = ProjectionRunner(bus, projection.node, lane, projection.make(lane))
                    self._runners.append((f"{projection.node.name}-{lane}", lane, projecting))
        slots = [slot for service in services for slot in service.slots]
        instance = platform.instance or f"{socket.gethostname()}-{os.getpid()}"
        self._activations = ActivationFollower(bus, slots, instance) if slots else None
        self._threads = [threading.Thread(target=self._run, args=item, name=item[0], daemon=True) for item in self._runners]

    def _stage(self, bus: Bus, part: StagePart, lane: Lane) -> Stage:
        stage = part.make(lane)
        if part.shadow is None or part.node.shadow is None or lane not in part.node.shadow.lanes:
            return stage
        shadowed = ShadowedStage(stage, bus, part.node.name, part.node.shadow, lane, part.shadow.slot, part.shadow.make)
        self._shadowed.append(shadowed)
        return shadowed

    def start(self) -> None:
        """Returns when the activated models are loaded and the runners have begun."""
        if self._activations is not None:
            self._activations.start()
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """For /ready: raises with a plain sentence while a runner is not at work."""
        idle = [name for name, _, runner in self._runners if not runner.is_running.is_set()]
        if idle:
            raise Unavailable(f"Not at work: {', '.join(idle)}.")

    def stop(self) -> None:
        """Finish what is in hand, save, commit, leave the groups."""
        self._stop.set()
        if self._activations is not None:
            self._activations.stop()
        for thread in self._threads:
            if thread.ident is None:
                continue  # stopped before it was started
            thread.join(DRAIN_S)
            if thread.is_alive():
                log.error("A runner did not end in time.", extra=fields(runner=thread.name))

        for shadowed in self._shadowed:
            shadowed.close()

    def _run(self, name: str, lane: Lane, runner: StageRunner | ProjectionRunner) -> None:
        if lane == "bulk":
            yield_processor()
        try:
            runner.run(self._stop)
        except Fenced as fenced:
            log.critical(FENCED, extra=fields(runner=name, reason=str(fenced)))
            self.failed.set()
        except Exception:
            log.critical(
                "A runner failed; the process ends and its restart takes up where the checkpoints are.", extra=fields(runner=name), exc_info=True
            )
            self.failed.set()


def yield_processor() -> None:
    """The calling thread, and every thread and process it starts from now on, gets what others leave of the processor (setpriority(2), on Linux)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(BULK_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))  # none may take more again


def _wait_for_topics(bus: Bus, services: Sequence[Service], platform: PlatformSettings, stop: threading.Event) -> None:
    needed = [part.node.reads.name(lane) for s in services for part in s.stages for lane in platform.lanes if lane in part.node.reads.lanes]
    needed += [t.name(lane) for s in services for part in s.projections for t in part.node.reads for lane in platform.lanes if lane in t.lanes]
    needed += [MODEL_ACTIVATED.name for service in services if service.slots]
    while not stop.is_set():
        try:
            for topic in needed:
                bus.partitions(topic)
            return
        except Unavailable as error:
            log.warning("The service waits for its topics.", extra=fields(reason=str(error)))
            stop.wait(LOOK_FOR_BROKER_EVERY_S)


@contextmanager
def or_exit(*errors: type[Exception]) -> Iterator[None]:
    """What hinders the start is one sentence on standard error and exit status 2."""
    try:
        yield
    except errors as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def stop_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


def wait_for_end(stop: threading.Event, has_failed: Callable[[], bool], clock: ClockWatch) -> None:
    """Returns with ``stop`` or a failure. Over Kafka: when the machine's clock was set back, the process is gone at once, with status 1.

    librdkafka waits for times of day (https://github.com/confluentinc/librdkafka/issues/2145): set back by an hour, its threads sleep for an hour,
    do not take a lost connection up again, and cannot be ended in order.
    """
    while not stop.wait(LOOK_EVERY_S) and not has_failed():
        set_back_s = clock.set_back_s()
        if set_back_s > MOST_SET_BACK_S:
            log.critical(SET_BACK, extra=fields(set_back_s=round(set_back_s, 1)))
            logging.shutdown()
            os._exit(1)


def spare_collector() -> None:
    """Called once everything is loaded. What is there by now stays: the collector of cycles skips it, and looks at young objects less often.

    Every event makes objects that live until the log has them. With the interpreter's defaults a fifth of a full gateway's time went into looking
    for cycles among them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def main(name: str, compose: Callable[[PlatformSettings], Service]) -> None:
    """One service over Kafka until SIGTERM: exit status 0 after a clean drain, 1 when it failed, 2 when it cannot start."""
    platform = load_settings(PlatformSettings)
    configure_logging(platform.log_level, platform.log_format)
    tell_process(name)
    if not platform.kafka_bootstrap:
        print("VOXRELAY_KAFKA_BOOTSTRAP is not set: one service alone needs a broker. 'voxrelay serve' runs all of them without.", file=sys.stderr)
        raise SystemExit(2)
    from voxrelay.bus.kafka import connect

    with or_exit(EngineUnusable):
        tracing.configure(platform.traces_endpoint, platform.traces_ratio, name)
        service = compose(platform)
        bus = connect(platform)
    stop, clock = threading.Event(), ClockWatch()
    stop_on_signals(stop)
    threads = ServiceThreads(bus, platform, [service])

    def ask_broker() -> None:
        bus.topics()

    checks = {"kafka": ask_broker, "runners": threads.check, **service.checks}
    probe = Probe(platform.host, platform.metrics_port, checks) if platform.metrics_port else None
    rpc = RpcServer(platform.host, platform.grpc_port, [service.add_rpc]) if platform.grpc_port and service.add_rpc else None
    if rpc is not None:
        rpc.start()
    _wait_for_topics(bus, [service], platform, stop)
    if not stop.is_set():
        threads.start()
        spare_collector()
        log.info("The service is at work.", extra=fields(service=name, lanes=platform.lanes))
    wait_for_end(stop, threads.failed.is_set, clock)
    log.info("The service ends.", extra=fields(service=name))
    threads.stop()
    if rpc is not None:
        rpc.close()
    if probe is not None:
        probe.close()
    service.close()
    tracing.close()
    raise SystemExit(1 if threads.failed.is_set() else 0)
