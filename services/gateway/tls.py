"""Certificates from files: one check for all ports, before any of them listens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from services.gateway.settings import GatewaySettings
from voxrelay.engines import EngineUnusable


@dataclass(frozen=True, slots=True)
class Tls:
    """The contents and paths of checked files."""

    certificate: Path
    private_key: Path
    client_ca: Path | None

    def uvicorn_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"ssl_certfile": self.certificate, "ssl_keyfile": self.private_key}
        if self.client_ca is not None:
            options |= {"ssl_ca_certs": str(self.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return options

    def grpc_credentials(self) -> grpc.ServerCredentials:
        pair = (self.private_key.read_bytes(), self.certificate.read_bytes())
        authorities = self.client_ca.read_bytes() if self.client_ca is not None else None
        return grpc.ssl_server_credentials([pair], root_certificates=authorities, require_client_auth=authorities is not None)


def tls_of(settings: GatewaySettings) -> Tls | None:
    """None where no certificate is set. Raises ``EngineUnusable`` with one sentence for files that are missing, unreadable or do not fit."""
    certificate, private_key, client_ca = settings.tls_certificate, settings.tls_private_key, settings.tls_client_ca
    if certificate is None and private_key is None and client_ca is None:
        return None
    if certificate is None or private_key is None:
        raise EngineUnusable("TLS needs both VOXRELAY_GATEWAY_TLS_CERTIFICATE and VOXRELAY_GATEWAY_TLS_PRIVATE_KEY; one of them is not set.")
    for path in (certificate, private_key, client_ca):
        if path is not None:
            _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise EngineUnusable(
            f"{certificate} and {private_key} are no certificate and its private key in PEM, or the key has a password: the gateway does not start."
        ) from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError:
            raise EngineUnusable(f"{client_ca} holds no certificate in PEM: the gateway does not start.") from None
    return Tls(certificate, private_key, client_ca)


def _check_readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise EngineUnusable(f"{path} cannot be read ({error.strerror}): the gateway does not start without it.") from None


def _no_password() -> bytes:
    """A key with a password fails with this; without it OpenSSL would ask on the terminal."""
    return b""
