"""What an operator may set of the gateway: variables VOXRELAY_GATEWAY_…"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from voxrelay.settings import Settings


class GatewaySettings(Settings):
    model_config = SettingsConfigDict(env_prefix="VOXRELAY_GATEWAY_", extra="ignore", frozen=True)

    port: int = Field(8080, ge=0, le=65535, description="WebSocket and REST; 0 takes a free one")
    grpc_port: int = Field(50051, ge=0, le=65535, description="gRPC; 0 takes a free one")
    tls_certificate: Path | None = Field(None, description="PEM file with the certificate and its chain: all ports speak TLS, HTTP and gRPC alike")
    tls_private_key: Path | None = Field(None, description="PEM file with its private key, without a password")
    tls_client_ca: Path | None = Field(None, description="PEM file of authorities: clients without a certificate of theirs are not let in")
    max_sessions: int = Field(1000, ge=1, description="live sessions at once; more are refused")
    max_lag_s: float = Field(
        5.0, gt=0, description="live results later than this: no new live session is taken; a tenth of it: none while a stage is full"
    )
    max_busy: float = Field(
        0.75,
        ge=0,
        le=1,
        description="share of its time at work above which a stage is full: few new live sessions are taken then; 0: none is",
    )
    session_lifetime_s: float = Field(1800.0, gt=0, description="a connection lives at most so long")
    idle_s: float = Field(60.0, gt=0, description="a connection without any message for so long is closed")
    resume_s: float = Field(30.0, ge=0, description="a session whose connection broke waits for its client so long; 0: it ends at once")
    join_wait_s: float = Field(1.5, ge=0, description="how long a final waits for its speaker and attributes")
    stage_timeout_s: float = Field(
        30.0, gt=0, description="how long a closed session waits for a stage's next word (a file: to any file) before it fails naming it"
    )
    max_file_bytes: int = Field(500 * 1024 * 1024, ge=1, description="largest file taken")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="largest body of a request that is no file: JSON, forms without one")
    max_audio_s: float = Field(4 * 3600.0, gt=0, description="longest audio taken from a file or container")
    max_frame_bytes: int = Field(1024 * 1024, ge=1024, description="largest WebSocket message taken")
    max_unacknowledged_bytes: int = Field(4 * 1024 * 1024, ge=65536, description="audio of one session on its way to the log; more waits")
    max_unsent_messages: int = Field(256, ge=8, description="results waiting for a slow client: interims go first, then the connection")
    max_vocabulary_terms: int = Field(1000, ge=0, description="custom vocabulary of one session")
    languages: tuple[str, ...] = Field(("en",), description="what the transcribe engine in use knows (BCP 47 primary tags); others are refused")
    models: tuple[str, ...] = Field(("pocketsphinx",), description="the transcribe engines in use, as name or name:version, for /v1/models")
    voices: tuple[str, ...] = Field(("en-us", "en-gb"), description="the voices of the synth engine in use, for /v1/models")
    max_text_characters: int = Field(20_000, ge=1, description="text of one synthesis request")
    drain_s: float = Field(25.0, ge=0, description="after SIGTERM open sessions may finish for so long")
    grpc_max_message_bytes: int = Field(64 * 1024 * 1024, ge=65536, description="largest gRPC message; of live audio: max_frame_bytes")
    grpc_max_calls: int = Field(2000, ge=1, description="gRPC calls at once, health watches too; more are refused")
    grpc_keepalive_s: float = Field(30.0, ge=1, description="a gRPC connection without traffic is asked so often whether it lives")
    grpc_connection_age_s: float = Field(0.0, ge=0, description="then a gRPC client is told to connect anew (running calls finish); 0: never")
    grpc_compression: Literal["none", "gzip", "deflate"] = Field("none", description="of gRPC answers; requests may be compressed in any case")
    linger_ms: float = Field(5.0, ge=0, le=100, description="the producer gathers records for so long: fewer, larger requests to the broker")
    allowed_internal_hosts: tuple[str, ...] = Field(
        (), description="hosts, as URLs write them, that files are fetched from and results posted to although they lie in an internal network"
    )
    allowed_ports: tuple[int, ...] = Field((80, 443), description="ports of the URLs that files are fetched from and results posted to")
    max_fetch_s: float = Field(300.0, gt=0, description="a file fetched from a URL must be here after so long")
    allowed_origins: tuple[str, ...] = Field(
        (), description='origins of web pages that may call from another host than this one, such as https://app.example.org; "*" for all'
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="host names that requests may be sent to; none: any, or the names of loopback where the gateway listens on it"
    )
