"""TLS for HTTP, WebSocket and gRPC alike, with and without certificates of clients; files that do not work stop the start."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.asyncio.client import connect

from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from tests.unit.gateway.test_native import SECOND, everything, of
from tests.unit.gateway.test_recognition import LINEAR, _finals, _requests
from voxrelay.bus.memory import MemoryBus
from voxrelay.engines import EngineUnusable
from voxrelay.v1 import services_pb2_grpc


class Pair(NamedTuple):
    certificate: Path
    private_key: Path


class Authority:
    """Signs certificates for 127.0.0.1, valid for an hour."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / f"{name}.pem"
        own = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
        )

    def sign(self, name: str, password: bytes = b"") -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(uses, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pair.private_key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
        return pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def server_pair(authority: Authority) -> Pair:
    return authority.sign("server")


def _settings(pair: Pair, **more: Any) -> dict[str, Any]:
    return {"tls_certificate": pair.certificate, "tls_private_key": pair.private_key} | more


def _context(authority: Authority, mine: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if mine is not None:
        context.load_cert_chain(mine.certificate, mine.private_key)
    return context


def _said_over_grpc(gateway: GatewayServer, authority: Authority, mine: Pair | None = None) -> str:
    chain = (mine.private_key.read_bytes(), mine.certificate.read_bytes()) if mine is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), *chain)
    with grpc.secure_channel(f"127.0.0.1:{gateway.grpc_port}", credentials) as channel:
        stub: Any = services_pb2_grpc.SpeechRecognitionStub(channel)  # type: ignore[no-untyped-call]
        answers = list(stub.StreamingRecognize(_requests(SECOND, config=LINEAR), timeout=20))
    text: str = _finals(answers)[0].alternatives[0].transcript
    return text


async def _said_over_websocket(gateway: GatewayServer, context: ssl.SSLContext) -> str:
    async with connect(f"wss://127.0.0.1:{gateway.port}/ws/v1/transcribe", ssl=context, compression=None) as socket:
        await socket.send(SECOND)
        await socket.send(json.dumps({"type": "close_stream"}))
        return str(of(await everything(socket), "final")[0]["transcript"])


@pytest.mark.conformance("grpc", "TLS", "done")
@pytest.mark.conformance("native", "TLS", "done", "HTTP and WebSocket")
async def test_every_port_speaks_tls(make_gateway: Callable[..., GatewayServer], authority: Authority, server_pair: Pair) -> None:
    gateway = make_gateway(**_settings(server_pair))
    async with httpx.AsyncClient(verify=_context(authority)) as client:
        assert (await client.get(f"https://127.0.0.1:{gateway.port}/health")).json() == {"status": "alive"}
    assert await _said_over_websocket(gateway, _context(authority)) == "hello u1"
    assert _said_over_grpc(gateway, authority) == "hello u1 kenobi"


async def test_nobody_is_served_in_the_clear_and_strangers_are_noticed(
    make_gateway: Callable[..., GatewayServer], authority: Authority, server_pair: Pair, tmp_path: Path
) -> None:
    gateway = make_gateway(**_settings(server_pair))
    stranger = Authority(tmp_path, "stranger")
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(f"http://127.0.0.1:{gateway.port}/health")
    async with httpx.AsyncClient(verify=_context(stranger)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"https://127.0.0.1:{gateway.port}/health")
    with pytest.raises(grpc.RpcError), grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        stub: Any = services_pb2_grpc.SpeechRecognitionStub(channel)  # type: ignore[no-untyped-call]
        list(stub.StreamingRecognize(_requests(SECOND), timeout=5))
    with pytest.raises(grpc.RpcError):
        _said_over_grpc(gateway, stranger)


@pytest.mark.conformance("grpc", "mutual TLS", "done")
@pytest.mark.conformance("native", "mutual TLS", "done", "HTTP and WebSocket")
async def test_with_an_authority_for_clients_only_those_it_signed_come_in(
    make_gateway: Callable[..., GatewayServer], authority: Authority, server_pair: Pair, tmp_path: Path
) -> None:
    gateway = make_gateway(**_settings(server_pair, tls_client_ca=authority.certificate))
    mine, foreign = authority.sign("client"), Authority(tmp_path, "stranger").sign("foreign")
    assert _said_over_grpc(gateway, authority, mine) == "hello u1 kenobi"
    assert await _said_over_websocket(gateway, _context(authority, mine)) == "hello u1"
    for wrong in (None, foreign):
        with pytest.raises(grpc.RpcError):
            _said_over_grpc(gateway, authority, wrong)
        async with httpx.AsyncClient(verify=_context(authority, wrong)) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(f"https://127.0.0.1:{gateway.port}/health")


def _refusal(**settings: Any) -> str:
    with pytest.raises(EngineUnusable) as refused:
        GatewayServer(MemoryBus(), GatewaySettings(port=0, grpc_port=0).model_copy(update=settings), "127.0.0.1", {}, None)
    return str(refused.value)


def test_files_that_do_not_work_stop_the_start_with_one_sentence(authority: Authority, server_pair: Pair, tmp_path: Path) -> None:
    missing, poem = tmp_path / "nowhere.pem", tmp_path / "poem.pem"
    poem.write_text("Shall I compare thee to a summer's day?")
    assert f"{missing} cannot be read (No such file" in _refusal(**_settings(Pair(missing, server_pair.private_key)))
    assert f"{missing} cannot be read (No such file" in _refusal(**_settings(Pair(server_pair.certificate, missing)))
    assert f"{missing} cannot be read" in _refusal(**_settings(server_pair, tls_client_ca=missing))
    assert f"{tmp_path} cannot be read (Is a directory" in _refusal(**_settings(Pair(tmp_path, server_pair.private_key)))
    assert "no certificate and its private key" in _refusal(**_settings(Pair(poem, server_pair.private_key)))
    assert "no certificate and its private key" in _refusal(**_settings(Pair(server_pair.certificate, authority.sign("other").private_key)))
    assert "has a password" in _refusal(**_settings(authority.sign("locked", b"secret")))
    assert f"{poem} holds no certificate" in _refusal(**_settings(server_pair, tls_client_ca=poem))
    assert "one of them is not set" in _refusal(tls_certificate=server_pair.certificate)
    assert "one of them is not set" in _refusal(tls_client_ca=authority.certificate)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_stops_the_start(server_pair: Pair) -> None:
    server_pair.private_key.chmod(0)
    assert "cannot be read (Permission denied)" in _refusal(**_settings(server_pair))
