"""The gateway alone, over Kafka, until SIGTERM."""

from __future__ import annotations

import sys
import threading

from services.gateway.compose import compose
from voxrelay import tracing
from voxrelay.clock import ClockWatch
from voxrelay.engines import EngineUnusable
from voxrelay.process import or_exit, spare_collector, stop_on_signals, wait_for_end
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.telemetry import configure_logging, tell_process


def main() -> None:
    platform = load_settings(PlatformSettings)
    configure_logging(platform.log_level, platform.log_format)
    tell_process("gateway")
    if not platform.kafka_bootstrap:
        print("VOXRELAY_KAFKA_BOOTSTRAP is not set: one service alone needs a broker. 'voxrelay serve' runs all of them without.", file=sys.stderr)
        raise SystemExit(2)
    from voxrelay.bus.kafka import connect

    stop, clock = threading.Event(), ClockWatch()
    stop_on_signals(stop)
    with or_exit(EngineUnusable, OSError):
        tracing.configure(platform.traces_endpoint, platform.traces_ratio, "gateway")
        server = compose(platform, connect(platform))
        server.start()
    spare_collector()
    wait_for_end(stop, lambda: server.has_failed, clock)
    failed = server.has_failed
    if not failed:
        server.stop()
    tracing.close()
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
