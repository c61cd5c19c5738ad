"""Every metric of the platform, and the logs: JSON lines of constant sentences with fields, never speech, text, keys or names.

Every label takes its values from a list known when the process starts (``LABELS`` says which): nothing a client sends becomes a label.
docs/operations/metrics.md is made from this file.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import metadata
from typing import Any, Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from voxrelay.footprint import Footprint

LABELS: Final = {
    "process": "the service that the process runs, `embedded` for all of them",
    "stage": "a stage or projection of the topology; `gateway` where the gateway thins out; of engines and models the task",
    "lane": "`live` or `bulk`",
    "edge": "a protocol of the gateway",
    "code": "an error code of docs/errors.md",
    "table": "a table of the database",
    "kind": "what sort of object it is",
    "engine": "an engine's name, as configured",
    "outcome": "`loaded` or `failed`",
    "version": "a version, as installed",
    "model_digest": "the digest of an engine's weights, as installed",
    "part": "`service` for the process itself, `workers` for the engine processes it has started",
}

_FAST: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_PUBLISHING: Final = (0.002, 0.004, 0.006, 0.008, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.2, 0.5, 1, 2, 5, 30)
_FELT: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 5, 10, 30)

# --- is it late? ---
STAGE_LAG_SECONDS = Gauge(
    "voxrelay_stage_lag_seconds", "Age of the oldest record this process was given and has not handled; 0 when idle.", ["stage", "lane"]
)
QUEUE_SECONDS = Histogram("voxrelay_queue_seconds", "From a batch's first event's publishing to its processing.", ["stage", "lane"], buckets=_FAST)
ENGINE_SECONDS = Histogram("voxrelay_engine_seconds", "One call of an engine.", ["stage"], buckets=_FAST)
BATCH_EVENTS = Histogram("voxrelay_batch_events", "Events a stage handled at once.", ["stage", "lane"], buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500))
FIRST_RESULT_SECONDS = Histogram("voxrelay_first_result_seconds", "From a session's opening to its first result.", ["edge"], buckets=_FELT)
FINAL_SECONDS = Histogram("voxrelay_final_seconds", "From the receipt of the audio behind a final to its sending.", ["edge"], buckets=_FAST)
SPEECH_END_SECONDS = Histogram(
    "voxrelay_speech_end_to_final_seconds",
    "From the end of an utterance to its final, as the speaker waits: the pause that ends it is in it. Live sessions in real time.",
    ["edge"],
    buckets=_FELT,
)
LAG_SECONDS = Gauge("voxrelay_gateway_lag_seconds", "How late results of live sessions come: what admission goes by.")
PUBLISH_SECONDS = Histogram("voxrelay_publish_seconds", "From receipt of a chunk to the log's acknowledgement.", buckets=_PUBLISHING)
PROJECTION_SECONDS = Histogram("voxrelay_projection_seconds", "One batch of results into the database.", ["lane"], buckets=_FAST)

# --- is it losing? ---
EVENTS = Counter("voxrelay_events_total", "Events a stage handled.", ["stage", "lane"])
REPEATS = Counter("voxrelay_repeats_total", "Events dropped because they had been seen.", ["stage", "lane"])
DEAD_LETTERS = Counter("voxrelay_dead_letters_total", "Records that could not be processed.", ["stage", "lane"])
UNREADABLE_CHECKPOINTS = Counter("voxrelay_unreadable_checkpoints_total", "Sessions given up for a snapshot of another version.", ["stage", "lane"])
REWINDS = Counter("voxrelay_rewinds_total", "Times a stage went back to its checkpoints.", ["stage", "lane"])
THINNED = Counter("voxrelay_interims_thinned_total", "Interim results left out under load.", ["stage"])

# --- is it full? ---
BUSY_SECONDS = Counter("voxrelay_busy_seconds_total", "Time at work, without waiting for the log: 1 a second is all there is.", ["stage", "lane"])
STAGE_SESSIONS = Gauge("voxrelay_stage_sessions", "Sessions a stage holds state for.", ["stage", "lane"])
OPEN_UTTERANCES = Gauge("voxrelay_open_utterances", "Utterances that have begun and not ended, as the stage has seen.", ["stage", "lane"])
CHECKPOINT_BYTES = Histogram("voxrelay_checkpoint_bytes", "Size of a snapshot.", ["stage"], buckets=(100, 1e3, 1e4, 1e5, 1e6))
CHECKPOINT_AGE_RECORDS = Gauge("voxrelay_checkpoint_age_records", "Records to replay if the stage died now.", ["stage", "lane"])
CHECKPOINT_AGE_SECONDS = Gauge("voxrelay_checkpoint_age_seconds", "How far back the oldest of them was taken.", ["stage", "lane"])
GATEWAY_SESSIONS = Gauge("voxrelay_gateway_sessions", "Sessions open at this gateway.", ["edge"])
GATEWAY_ROOM = Gauge("voxrelay_gateway_room_sessions", "Sessions this gateway holds at most.")
REFUSALS = Counter("voxrelay_refusals_total", "Requests refused, by error code.", ["edge", "code"])
RESUMED = Counter("voxrelay_resumed_total", "Sessions taken over from another gateway process.", ["edge"])

# --- what does it cost? ---
AUDIO_SECONDS = Counter("voxrelay_audio_seconds_total", "Seconds of audio taken in.", ["edge"])
ROWS = Counter("voxrelay_projected_rows_total", "Rows written.", ["table"])
OBJECTS = Counter("voxrelay_objects_total", "Objects written.", ["kind"])
OBJECT_BYTES = Counter("voxrelay_object_bytes_total", "Bytes written to the object store.", ["kind"])
REGISTRY.register(Footprint())

# --- what is running? ---
PROCESS_INFO = Gauge("voxrelay_process_info", "1 for each process, with its version.", ["process", "version"])
SHADOW_LEFT_OUT = Counter(
    "voxrelay_shadow_left_out_total", "Sessions a model in the shadow did not hear to their end: it was too slow, or failed.", ["stage"]
)
MODEL_LOADS = Counter("voxrelay_model_loads_total", "Models that were to be loaded while the process runs.", ["stage", "outcome"])
ENGINE_INFO = Gauge("voxrelay_engine_info", "1 for each engine in use.", ["stage", "engine", "version", "model_digest"])


def tell_process(process: str) -> None:
    """Which service runs here, in which version; once, at the start."""
    try:
        version = metadata.version("voxrelay")
    except metadata.PackageNotFoundError:
        version = "unknown"
    PROCESS_INFO.labels(process, version).set(1)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and the fields given as ``extra={"fields": {...}}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(level: str = "info", log_format: str = "json") -> None:
    """Send all logs to standard error, once a process."""
    import time

    handler = logging.StreamHandler(sys.stderr)
    formatter: logging.Formatter = JsonFormatter() if log_format == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """``log.info("Constant sentence.", extra=fields(session=...))``."""
    return {"fields": values}
