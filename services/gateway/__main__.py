"""The gateway alone, over Kafka, until SIGTERM."""

from __future__ import annotations

import sys
import threading

from services.gateway.compose import compose
from voxrelay import tracing
from voxrelay.engines import EngineUnusable
from voxrelay.process import spare_collector, stop_on_signals, trace_or_exit
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

    trace_or_exit(platform, "gateway")
    stop = threading.Event()
    stop_on_signals(stop)
    try:
        server = compose(platform, connect(platform))
        server.start()
    except (EngineUnusable, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    spare_collector()
    while not stop.wait(0.5) and not server.has_failed:
        pass
    failed = server.has_failed
    if not failed:
        server.stop()
    tracing.close()
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
