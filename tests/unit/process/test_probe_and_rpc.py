"""What an operator and a gRPC client meet at a stage's ports."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import voxrelay.telemetry  # noqa: F401  # declares the metrics that /metrics shows
from voxrelay.probe import Probe
from voxrelay.rpc import RpcServer
from voxrelay.v1 import services_pb2, services_pb2_grpc


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_ready_names_what_does_not_answer() -> None:
    def broken() -> None:
        raise RuntimeError("No broker answers.")

    probe = Probe("127.0.0.1", 0, {"database": lambda: None, "kafka": broken})
    try:
        status, body = _get(probe.port, "/ready")
        assert status == 503
        assert json.loads(body) == {"database": "ok", "kafka": "No broker answers."}
        assert _get(probe.port, "/health")[0] == 200
        status, metrics = _get(probe.port, "/metrics")
        assert status == 200
        assert "voxrelay_events_total" in metrics
        assert _get(probe.port, "/other")[0] == 404
    finally:
        probe.close()


def test_ready_tells_what_is_worth_knowing_and_stays_ready() -> None:
    probe = Probe("127.0.0.1", 0, {"speech detector": lambda: "runs on the CPU.", "kafka": lambda: None})
    try:
        status, body = _get(probe.port, "/ready")
        assert status == 200
        assert json.loads(body) == {"speech detector": "ok: runs on the CPU.", "kafka": "ok"}
    finally:
        probe.close()


class Speaker(services_pb2_grpc.SynthesisServicer):
    def ListVoices(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        return services_pb2.ListVoicesResponse(voices=[services_pb2.Voice(name="test")])


@pytest.fixture
def channel() -> Any:
    def register(server: Any) -> Sequence[str]:
        services_pb2_grpc.add_SynthesisServicer_to_server(Speaker(), server)
        return ["voxrelay.v1.Synthesis"]

    server = RpcServer("127.0.0.1", 0, [register])
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    server.close(0)


def test_health_reflection_and_calls(channel: Any) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "voxrelay.v1.Synthesis"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests)
    assert "voxrelay.v1.Synthesis" in [service.name for service in answer.list_services_response.service]
    assert services_pb2_grpc.SynthesisStub(channel).ListVoices(services_pb2.ListVoicesRequest()).voices[0].name == "test"
