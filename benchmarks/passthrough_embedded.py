"""The embedded platform with pass-through stages: prints its address as JSON and runs until SIGTERM. Used by ``benchmarks.overhead``."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path

from benchmarks.passthrough import compose_denoise, compose_transcribe
from services.embedded import Embedded
from voxrelay.process import spare_collector, stop_on_signals
from voxrelay.settings import PlatformSettings
from voxrelay.storage.migrations import migrate
from voxrelay.telemetry import configure_logging


def main() -> None:
    configure_logging("error")
    stop = threading.Event()
    stop_on_signals(stop)
    with tempfile.TemporaryDirectory() as folder:
        platform = PlatformSettings(data=Path(folder))
        migrate(platform.resolved_database_url)
        embedded = Embedded(platform, [compose_denoise(platform), compose_transcribe(platform)], port=0, grpc_port=0)
        embedded.start()
        spare_collector()
        print(json.dumps({"url": f"http://127.0.0.1:{embedded.port}"}), flush=True)
        stop.wait()
        embedded.stop()


if __name__ == "__main__":
    main()
