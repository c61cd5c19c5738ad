"""Settings come from the environment alone, are checked at the start, and a wrong one stops it with a plain sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from voxrelay.events import Lane


class Settings(BaseSettings):
    """What a service reads from variables ``VOXRELAY_<SERVICE>_<NAME>``; subclasses set their own prefix."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)


class PlatformSettings(Settings):
    """What every process shares: variables ``VOXRELAY_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="VOXRELAY_", extra="ignore", frozen=True)

    kafka_bootstrap: str = Field("", description="host:port of the brokers, comma-separated; empty runs on the in-memory bus")
    kafka_properties: Path | None = Field(
        None, description="file of further librdkafka settings, name=value a line: TLS, SASL (security.protocol=SASL_SSL, sasl.username=…)"
    )
    partitions: int = Field(8, ge=1, le=1000, description="partitions of every topic; the same on all of them")
    instance: str = Field(
        "", description="this process's lasting name (a pod's): a restart under it takes its partitions up at once; of two at once the older one ends"
    )
    replication: int = Field(1, ge=1, le=7, description="copies the broker keeps of every topic")
    database_url: str = Field("", description="postgresql+psycopg://… ; empty uses SQLite in the data folder")
    object_store_url: str = Field("", description="s3://bucket/prefix, gs://…, az://… or file:///folder; empty uses the data folder")
    data: Path = Field(Path(".data"), description="folder for what the embedded platform keeps")
    models: Path = Field(Path.home() / ".cache" / "voxrelay" / "models", description="folder of model weights")
    models_hub: str = Field("https://huggingface.co", description="where models with an hf: source are fetched from")
    models_token: SecretStr = Field(SecretStr(""), description="token for models there whose terms must be accepted; empty for none")
    lanes: tuple[Lane, ...] = Field(("live", "bulk"), description="the lanes this process works on, as a JSON list")
    host: str = Field("127.0.0.1", description="address the service's own ports listen on")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of /metrics and /health of a stage; 0 for none")
    grpc_port: int = Field(0, ge=0, le=65535, description="port of the synchronous gRPC calls; 0 for none")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least severe of the log lines written: debug, info, warning or error"
    )
    log_format: Literal["json", "text"] = Field("json", description="json, or text for people")
    checkpoint_every: int = Field(32, ge=1, description="records of a session between two checkpoints, where the stage can")
    traces_endpoint: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="an OpenTelemetry collector's OTLP address over HTTP, http://host:4318; empty: no traces"
    )
    traces_ratio: float = Field(0.01, ge=0, le=1, description="share of the sessions that are traced, where their callers do not decide it")
    session_idle_s: float = Field(2100.0, gt=0, description="a session without a record for so long is ended; above the gateway's lifetime limit")
    batch_events: int = Field(500, ge=1, le=5000, description="records of all sessions that a stage takes at once, at most")
    batch_wait_ms: float = Field(
        0.0, ge=0, le=1000, description="between two batches of a stage: more sessions share a call of the engine, and each waits so much longer"
    )
    onnx_provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        "cpu", description="what engines on ONNX Runtime run on: cpu, cuda or tensorrt; the last two need onnxruntime-gpu"
    )
    threads_per_engine: int = Field(1, ge=1, le=64, description="threads a model may use inside one call")
    gpu_memory_mb: int = Field(
        0, ge=0, le=1_000_000, description="what each model on ONNX Runtime, and all on PyTorch together, may take of the GPU's memory; 0: no limit"
    )

    @property
    def engine_runtime(self) -> dict[str, Any]:
        """What engines on ONNX Runtime or PyTorch are made with besides their models."""
        return {"provider": self.onnx_provider, "threads": self.threads_per_engine, "gpu_memory_mb": self.gpu_memory_mb}

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'voxrelay.db'}"

    @property
    def resolved_object_store_url(self) -> str:
        return self.object_store_url or (self.data / "objects").resolve().as_uri()


SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def load_settings(settings_type: type[SettingsType]) -> SettingsType:
    """The settings, or a plain list of what is wrong on standard error and exit status 2."""
    try:
        return settings_type()
    except ValidationError as error:
        prefix = settings_type.model_config.get("env_prefix", "")
        for problem in error.errors():
            name = prefix + "_".join(str(part) for part in problem["loc"][:1]).upper()
            print(f"{name}: {problem['msg']} (got {problem['input']!r}).", file=sys.stderr)
        print("Correct these variables and start again.", file=sys.stderr)
        raise SystemExit(2) from None
